//! From one page to the next.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use super::cell::Cell;
use super::client::{Answer, Target};
use super::request::Scope;
use crate::catalog::Pointer;
use crate::catalog::manifest::{Page, Request};
use crate::error::{Error, Kind, Result};

/// Pages without a record, in a row, after which a read ends: a source may filter after paging, not for ever.
const EMPTY_PAGES: u32 = 10;

/// Where a read in pages is.
pub(crate) struct Pager {
    page: Page,
    /// What the next request asks with.
    next: Next,
    seen: HashSet<u64>,
    empty: u32,
    records: u64,
    label: String,
}

/// Where a pager was, for one of a later read.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    records: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ask: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

/// How the next page is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Next {
    /// By the request, with this in its scope.
    Page(Option<(&'static str, Value)>),
    /// By this URL.
    Link(String),
    /// There is none.
    End,
}

/// What a page said of itself.
#[derive(Debug, Default)]
pub(crate) struct Told<'a> {
    /// Records in it, whatever became of them.
    pub(crate) records: u64,
    /// The values at [`Pager::facts`].
    pub(crate) facts: Vec<Option<&'a str>>,
    /// The key of the last record, for seeking.
    pub(crate) last: Option<String>,
}

impl Pager {
    /// `label` names the source in errors.
    pub(crate) fn new(page: &Page, label: &str) -> Self {
        let next = match page {
            Page::Offset(_) => Next::Page(Some(("page.offset", json!(0)))),
            Page::Number(page) => Next::Page(Some(("page.number", json!(page.first)))),
            _ => Next::Page(None),
        };
        Pager {
            page: page.clone(),
            next,
            seen: HashSet::new(),
            empty: 0,
            records: 0,
            label: label.to_string(),
        }
    }

    /// One that goes on where another one was.
    pub(crate) fn at(page: &Page, label: &str, place: Place) -> Self {
        let word = match page {
            Page::Offset(_) => "page.offset",
            Page::Number(_) => "page.number",
            Page::Seek(_) => "page.after",
            Page::Token(_) | Page::Link(_) | Page::None => "page.token",
        };
        let next = match (place.link, place.ask) {
            (Some(link), _) => Next::Link(link),
            (None, ask) => Next::Page(ask.map(|value| (word, value))),
        };
        Pager { next, records: place.records, ..Pager::new(page, label) }
    }

    /// Where the next page begins; `None` where there is none.
    pub(crate) fn place(&self) -> Option<Place> {
        let records = self.records;
        match &self.next {
            Next::Page(ask) => {
                let ask = ask.as_ref().map(|(_, value)| value.clone());
                Some(Place { records, ask, link: None })
            }
            Next::Link(link) => Some(Place { records, ask: None, link: Some(link.clone()) }),
            Next::End => None,
        }
    }

    /// How the next page is asked for.
    pub(crate) fn next(&self) -> &Next {
        &self.next
    }

    /// What is sent for the next page, where `request` asks for pages that no answer gave a URL of.
    pub(crate) fn target<'a>(&'a self, request: &'a Request) -> Target<'a> {
        match &self.next {
            Next::Link(link) => Target::Link(link),
            _ => Target::Request(request),
        }
    }

    /// Records of all pages so far.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// `scope` with what the next request asks with.
    pub(crate) fn scope(&self, scope: &Scope) -> Scope {
        let scope = scope.clone().with("page.size", self.page.size().map(|size| json!(size)));
        match &self.next {
            Next::Page(Some((word, value))) => scope.with(word, value.clone()),
            _ => scope,
        }
    }

    /// Where the key for seeking stands in a record.
    pub(crate) fn seeks(&self) -> Option<&Pointer> {
        match &self.page {
            Page::Seek(page) => Some(&page.key),
            _ => None,
        }
    }

    /// The values of the document that decide about the next page.
    pub(crate) fn facts(&self) -> Vec<&Pointer> {
        match &self.page {
            Page::Token(page) => page.at.iter().chain(&page.more).collect(),
            Page::Link(page) => page.at.iter().chain(&page.done).collect(),
            Page::Offset(page) => page.total.iter().collect(),
            Page::Number(page) => page.more.iter().collect(),
            Page::Seek(_) | Page::None => Vec::new(),
        }
    }

    /// Moves on after a page.
    ///
    /// # Errors
    /// `Data` when the source goes in a circle, sends empty pages for ever, or stops before its own end.
    pub(crate) fn advance(&mut self, answer: &Answer, told: &Told<'_>) -> Result<()> {
        self.records += told.records;
        self.empty = if told.records == 0 { self.empty + 1 } else { 0 };
        let fact = |at: usize| told.facts.get(at).copied().flatten().filter(|fact| *fact != "null");
        let text = |fact: &str| Cell::Json(fact).text().into_owned();
        let next = match &self.page {
            Page::None => Next::End,
            _ if answer.is_empty => Next::End,
            Page::Token(page) => {
                let token = match (&page.at, &page.header) {
                    (Some(_), _) => fact(0).map(text),
                    (None, Some(header)) => answer.header(header).map(str::to_string),
                    (None, None) => None,
                };
                let is_over = page.more.is_some() && fact(usize::from(page.at.is_some())) == Some("false");
                let token = token.filter(|token| !token.is_empty() && token != "null" && !is_over);
                token.map_or(Next::End, |token| Next::Page(Some(("page.token", json!(token)))))
            }
            Page::Link(page) => {
                let link = match &page.at {
                    Some(_) => fact(0).map(text),
                    None => answer.header("link").and_then(next_of).map(str::to_string),
                };
                let is_unfinished =
                    page.done.is_some() && fact(usize::from(page.at.is_some())) == Some("false");
                match link.filter(|link| !link.is_empty()) {
                    Some(link) => Next::Link(link),
                    None if is_unfinished => return Err(self.broken("says there is more but not where")),
                    None => Next::End,
                }
            }
            Page::Offset(page) => {
                let total = fact(0).and_then(|total| text(total).parse::<u64>().ok());
                let is_over = match total {
                    Some(total) => self.records >= total || told.records == 0,
                    None => told.records < u64::from(page.size),
                };
                if is_over { Next::End } else { Next::Page(Some(("page.offset", json!(self.records)))) }
            }
            Page::Number(page) => {
                let is_over = match &page.more {
                    Some(_) => fact(0) != Some("true"),
                    None => told.records < u64::from(page.size),
                };
                let number = match &self.next {
                    Next::Page(Some((_, number))) => number.as_u64().unwrap_or(0),
                    _ => 0,
                };
                if is_over { Next::End } else { Next::Page(Some(("page.number", json!(number + 1)))) }
            }
            Page::Seek(page) => match &told.last {
                Some(last) if told.records >= u64::from(page.size) => {
                    Next::Page(Some(("page.after", json!(last))))
                }
                _ => Next::End,
            },
        };
        let ahead = match &next {
            Next::End => None,
            Next::Link(link) => Some(link.clone()),
            Next::Page(Some((_, value))) => Some(value.to_string()),
            Next::Page(None) => return Err(self.broken("has pages that nothing tells apart")),
        };
        if let Some(ahead) = ahead {
            let mut hasher = DefaultHasher::new();
            ahead.hash(&mut hasher);
            if !self.seen.insert(hasher.finish()) {
                return Err(self.broken("repeats a page"));
            }
            if self.empty > EMPTY_PAGES {
                return Err(
                    self.broken(&format!("sends more than {EMPTY_PAGES} pages without a record in a row"))
                );
            }
        }
        self.next = next;
        Ok(())
    }

    fn broken(&self, why: &str) -> Error {
        Error::new(Kind::Data, format!("{} {why}", self.label)).with_hint(
            "the read cannot be complete, so nothing of it is kept; try again later, or tell the vendor",
        )
    }
}

/// The URL of `rel="next"` in a `Link` header (RFC 8288).
fn next_of(header: &str) -> Option<&str> {
    header.split(',').find_map(|link| {
        let (url, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|p| p.trim() == "rel=\"next\"" || p.trim() == "rel=next");
        is_next.then_some(url)
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::*;

    fn answer(header: Option<(&'static str, &'static str)>) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some((name, value)) = header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Answer { status: 200, headers, body: Vec::new().into(), is_empty: false }
    }

    fn pager(yaml: &str) -> Pager {
        Pager::new(&serde_saphyr::from_str(yaml).unwrap(), "Test")
    }

    fn told(records: u64, facts: &[Option<&'static str>], last: Option<&str>) -> Told<'static> {
        Told { records, facts: facts.to_vec(), last: last.map(str::to_string) }
    }

    #[test]
    fn tokens_end_with_none_or_null() {
        let mut pages = pager("token: {at: /next, size: 2}");
        pages.advance(&answer(None), &told(2, &[Some("\"a\"")], None)).unwrap();
        assert_eq!(*pages.next(), Next::Page(Some(("page.token", json!("a")))));
        pages.advance(&answer(None), &told(2, &[Some("17")], None)).unwrap();
        assert_eq!(*pages.next(), Next::Page(Some(("page.token", json!("17")))));
        pages.advance(&answer(None), &told(1, &[None], None)).unwrap();
        assert_eq!((pages.next(), pages.records()), (&Next::End, 5));
        let mut pages = pager("token: {header: Sforce-Locator}");
        pages.advance(&answer(Some(("sforce-locator", "MTAw"))), &told(2, &[], None)).unwrap();
        pages.advance(&answer(Some(("sforce-locator", "null"))), &told(2, &[], None)).unwrap();
        assert_eq!(*pages.next(), Next::End);
        let mut pages = pager("token: {at: /next, more: /more}");
        pages.advance(&answer(None), &told(2, &[Some("\"a\""), Some("false")], None)).unwrap();
        assert_eq!(*pages.next(), Next::End);
    }

    #[test]
    fn circles_and_endless_emptiness_are_refused() {
        let mut pages = pager("token: {at: /next}");
        pages.advance(&answer(None), &told(2, &[Some("\"a\"")], None)).unwrap();
        pages.advance(&answer(None), &told(2, &[Some("\"b\"")], None)).unwrap();
        let error = pages.advance(&answer(None), &told(2, &[Some("\"a\"")], None)).unwrap_err();
        assert!(error.what().contains("repeats a page"), "{error}");
        let mut pages = pager("offset: {size: 10, total: /total}");
        assert!(pages.advance(&answer(None), &told(0, &[Some("500")], None)).is_ok());
        assert_eq!(*pages.next(), Next::End);
        let mut pages = pager("token: {at: /next}");
        let tokens: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let failed = tokens.iter().position(|token| {
            let told = Told { records: 0, facts: vec![Some(token.as_str())], last: None };
            pages.advance(&answer(None), &told).is_err()
        });
        assert_eq!(failed, Some(10));
    }

    #[test]
    fn offsets_numbers_links_and_keys_lead_on() {
        let mut pages = pager("offset: {size: 2}");
        assert_eq!(*pages.next(), Next::Page(Some(("page.offset", json!(0)))));
        pages.advance(&answer(None), &told(2, &[], None)).unwrap();
        assert_eq!(*pages.next(), Next::Page(Some(("page.offset", json!(2)))));
        pages.advance(&answer(None), &told(1, &[], None)).unwrap();
        assert_eq!(*pages.next(), Next::End);
        let mut pages = pager("number: {size: 2}");
        pages.advance(&answer(None), &told(2, &[], None)).unwrap();
        assert_eq!(*pages.next(), Next::Page(Some(("page.number", json!(2)))));
        let mut pages = pager("link: {}");
        let link = "<https://x/1>; rel=\"prev\", <https://x/3>; rel=\"next\"";
        pages.advance(&answer(Some(("link", link))), &told(2, &[], None)).unwrap();
        assert_eq!(*pages.next(), Next::Link("https://x/3".into()));
        let mut pages = pager("link: {at: /url, done: /done}");
        assert!(pages.advance(&answer(None), &told(2, &[None, Some("false")], None)).is_err());
        let mut pages = pager("seek: {key: /id, size: 2}");
        pages.advance(&answer(None), &told(2, &[], Some("9"))).unwrap();
        let again = Pager::at(&pages.page, "x", pages.place().unwrap());
        assert_eq!((again.next(), again.records()), (pages.next(), 2));
        assert_eq!(*pages.next(), Next::Page(Some(("page.after", json!("9")))));
        assert!(pages.advance(&answer(None), &told(2, &[], Some("9"))).is_err());
    }
}

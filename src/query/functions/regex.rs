//! Regular expressions as PostgreSQL has them ("advanced" ones).
//!
//! Automata do the work, whose time is linear in the text. Of several matches that begin at one place PostgreSQL
//! takes the longest, or the shortest where the expression prefers so; they find exactly that. Look-around and back
//! references, which need backtracking, are refused.

mod ere;
mod functions;
mod similar;

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::meta;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

use self::ere::{Parsed, Preference};
pub(super) use self::functions::DEFINITIONS;
use crate::error::{Error, Kind, Result};

/// Bytes of the automaton of one expression.
const MAX_BYTES: usize = 10 << 20;

/// Where the whole match and its groups begin and end, in bytes.
pub(super) type Groups = Vec<Option<(usize, usize)>>;

/// An expression, ready to be used.
pub(super) struct Regex {
    first: meta::Regex,
    whole: meta::Regex,
    extent: Option<Extent>,
}

/// Finds the end of the longest or shortest match from a place.
struct Extent {
    dfa: DFA,
    cache: std::cell::RefCell<Cache>,
    is_shortest: bool,
}

/// 2201B
pub(super) fn invalid(what: &str) -> Error {
    Error::new(Kind::Invalid, format!("invalid regular expression: {what}")).with_sqlstate("2201B")
}

fn too_complex() -> Error {
    Error::new(Kind::Limit, "the regular expression is too complex").with_sqlstate("54001")
}

impl Regex {
    /// An expression with flags such as `i`. The flag `g` is the caller's.
    pub(super) fn new(pattern: &str, flags: &str) -> Result<Self> {
        automata(&ere::parse(pattern, flags)?)
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.first.is_match(text)
    }

    /// The first match that begins at or after a byte.
    pub(super) fn find(&self, text: &str, from: usize) -> Result<Option<Groups>> {
        let mut captures = self.first.create_captures();
        self.first.search_captures(&Input::new(text).range(from..), &mut captures);
        let Some(found) = captures.get_match() else { return Ok(None) };
        let (start, end) = (found.start(), found.end());
        let wanted = match &self.extent {
            Some(extent) => extent.end(text, start)?.unwrap_or(end),
            None => end,
        };
        if wanted != end {
            let part = Input::new(&text[..wanted]).range(start..).anchored(Anchored::Yes);
            self.whole.search_captures(&part, &mut captures);
        }
        let group = |at| captures.get_group(at).map(|span| (span.start, span.end));
        Ok(Some((0..captures.group_len()).map(group).collect()))
    }

    /// All matches, from left to right.
    pub(super) fn find_all(&self, text: &str, from: usize, limit: usize) -> Result<Vec<Groups>> {
        let (mut all, mut from) = (Vec::new(), from);
        while from <= text.len() && all.len() < limit {
            let Some(groups) = self.find(text, from)? else { break };
            let Some(Some((start, end))) = groups.first().copied() else { break };
            from = match end > start {
                true => end,
                // An empty match: on with the next character.
                false => end + text[end..].chars().next().map_or(1, char::len_utf8),
            };
            all.push(groups);
        }
        Ok(all)
    }
}

impl Extent {
    fn end(&self, text: &str, start: usize) -> Result<Option<usize>> {
        let input = Input::new(text).range(start..).anchored(Anchored::Yes).earliest(self.is_shortest);
        let found = self.dfa.try_search_fwd(&mut self.cache.borrow_mut(), &input);
        Ok(found.map_err(|_| too_complex())?.map(|found| found.offset()))
    }
}

fn automata(parsed: &Parsed) -> Result<Regex> {
    let config = syntax::Config::new().unicode(true).utf8(true);
    let build = |text: &str| {
        meta::Builder::new()
            .syntax(config)
            .configure(meta::Config::new().nfa_size_limit(Some(MAX_BYTES)))
            .build(text)
            .map_err(|error| {
                let is_large = error.size_limit().is_some();
                invalid(if is_large { "regular expression is too complex" } else { "syntax" })
                    .with_source(error)
            })
    };
    let extent = match parsed.preference {
        None => None,
        Some(preference) => {
            let dfa = DFA::builder()
                .syntax(config)
                .configure(DFA::config().match_kind(MatchKind::All).unicode_word_boundary(true))
                .build(&parsed.text);
            // Words of other than ASCII letters are beyond this automaton: such an expression keeps the first match.
            dfa.ok().map(|dfa| {
                let cache = std::cell::RefCell::new(dfa.create_cache());
                Extent { dfa, cache, is_shortest: preference == Preference::Shortest }
            })
        }
    };
    let whole = build(&format!("(?:{})\\z", parsed.text))?;
    Ok(Regex { first: build(&parsed.text)?, whole, extent })
}

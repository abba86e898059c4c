//! The parts of a written date or time: numbers, words, and what belongs together without a space.

#[derive(Debug, PartialEq)]
pub(super) enum Token {
    Number(String),
    Date(String),
    Time(String),
    Word(String),
    /// A date that begins with a month, or a zone: what goes on behind a word, as `Jan-08-1999` and `GMT+3`.
    Joined(String),
    Offset(String),
}

/// `None` where no such text has a meaning.
pub(super) fn tokens(text: &str) -> Option<Vec<Token>> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    let get = |at: usize| chars.get(at).copied().unwrap_or('\0');
    let span = |from: usize, is: &dyn Fn(char) -> bool| {
        let mut end = from;
        while end < chars.len() && is(chars[end]) {
            end += 1;
        }
        end
    };
    let digit = |c: char| c.is_ascii_digit();
    while at < chars.len() {
        let c = chars[at];
        let start = at;
        let take = |end: usize| chars[start..end].iter().collect::<String>();
        if c.is_ascii_whitespace() || c == ',' {
            at += 1;
        } else if c.is_ascii_digit() {
            at = span(at, &digit);
            let next = get(at);
            if next == ':' {
                at = span(at, &|c| digit(c) || c == ':' || c == '.');
                tokens.push(Token::Time(take(at)));
            } else if matches!(next, '-' | '/' | '.') && get(at + 1).is_alphanumeric() {
                let mut is_date = next != '.';
                if digit(get(at + 1)) {
                    at = span(at + 1, &digit);
                    if get(at) == next {
                        is_date = true;
                        at = span(at, &|c| digit(c) || c == next);
                    }
                } else {
                    is_date = true;
                    at = span(at, &|c| c.is_alphanumeric() || c == next);
                }
                let token = take(at);
                tokens.push(if is_date { Token::Date(token) } else { Token::Number(token) });
            } else {
                tokens.push(Token::Number(take(at)));
            }
        } else if c.is_alphabetic() {
            at = span(at, &char::is_alphabetic);
            let word = take(at);
            let goes_on = matches!(get(at), '-' | '/' | '.')
                || ((get(at) == '+' || digit(get(at))) && !is_keyword(&word.to_lowercase()));
            if goes_on {
                at = span(at, &|c| c.is_alphanumeric() || "+-/_.:".contains(c));
                tokens.push(Token::Joined(take(at)));
            } else {
                tokens.push(Token::Word(word));
            }
        } else if (c == '+' || c == '-') && digit(get(at + 1)) {
            at = span(at + 1, &|c| digit(c) || c == ':');
            tokens.push(Token::Offset(take(at)));
        } else if (c == '+' || c == '-') && get(at + 1).is_alphabetic() {
            at = span(at + 1, &char::is_alphabetic);
            tokens.push(Token::Word(take(at)));
        } else {
            return None;
        }
    }
    Some(tokens)
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const DAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

pub(super) fn month_of(word: &str) -> Option<i64> {
    let word = word.to_lowercase();
    let is_it = |month: &str| word == month || word == month[..3] || (word == "sept" && month == "september");
    MONTHS.iter().position(|month| is_it(month)).map(|at| at as i64 + 1)
}

pub(super) fn is_day(word: &str) -> bool {
    DAYS.iter().any(|day| word == *day || word == &day[..3])
        || matches!(word, "tues" | "wednes" | "weds" | "thur" | "thurs")
}

/// Words, other than months and days, that digits may follow without a space.
const KEYWORDS: &[&str] = &[
    "ad",
    "allballs",
    "am",
    "at",
    "bc",
    "d",
    "dow",
    "doy",
    "dst",
    "epoch",
    "h",
    "infinity",
    "isodow",
    "isoyear",
    "j",
    "jd",
    "julian",
    "m",
    "mm",
    "now",
    "on",
    "pm",
    "s",
    "t",
    "today",
    "tomorrow",
    "y",
    "yesterday",
];

fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word) || is_day(word) || month_of(word).is_some()
}

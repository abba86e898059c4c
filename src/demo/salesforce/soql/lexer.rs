//! Tokens of SOQL.

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name, keyword, or number, date or time: everything without quotes and blanks.
    Word(String),
    /// A text in quotes, without them, escapes resolved.
    Text(String),
    /// `( ) , = != < ...`
    Sign(&'static str),
}

const SIGNS: &[&str] = &["!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ","];

/// Takes a query apart.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { return Ok(tokens) };
        if first == '\'' {
            let (content, after) = quoted(&rest[1..])?;
            tokens.push(Token::Text(content));
            rest = after;
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else {
            let is_word = |c: char| c.is_ascii_alphanumeric() || "_.:+-".contains(c);
            let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            if end == 0 {
                return Err(format!("unexpected token: '{first}'"));
            }
            tokens.push(Token::Word(rest[..end].into()));
            rest = &rest[end..];
        }
    }
}

/// The text up to the closing quote, and what follows it.
fn quoted(rest: &str) -> Result<(String, &str), String> {
    let mut content = String::new();
    let mut characters = rest.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '\'' => return Ok((content, &rest[at + 1..])),
            '\\' => {
                let (_, escaped) = characters.next().ok_or("unterminated string")?;
                let resolved = match escaped {
                    'n' | 'N' => '\n',
                    'r' | 'R' => '\r',
                    't' | 'T' => '\t',
                    'b' | 'B' => '\u{8}',
                    'f' | 'F' => '\u{c}',
                    '\'' | '"' | '\\' => escaped,
                    // `\%` and `\_` keep their backslash: LIKE resolves them.
                    '%' | '_' => {
                        content.push('\\');
                        escaped
                    }
                    other => return Err(format!("Invalid string literal: illegal escape '\\{other}'")),
                };
                content.push(resolved);
            }
            '\n' | '\r' => return Err("line breaks not allowed in string literals".into()),
            other => content.push(other),
        }
    }
    Err("unterminated string".into())
}

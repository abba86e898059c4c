//! The grammar of SOQL.

use super::lexer::{Token, tokens};
use super::{
    Condition, Literal, MOST_CHARACTERS, MOST_OFFSET, MOST_TEXT, Operator, Order, Path, Query, Select,
};
use crate::demo::clock::parse_millis;

/// Reads a query, or says why it is malformed.
pub(in super::super) fn parse(text: &str) -> Result<Query, String> {
    if text.chars().count() > MOST_CHARACTERS {
        return Err(format!("SOQL statements cannot be longer than {MOST_CHARACTERS} characters."));
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let query = parser.query()?;
    match parser.peek() {
        None => Ok(query),
        Some(token) => Err(format!("unexpected token: {}", shown(token))),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

fn shown(token: &Token) -> String {
    match token {
        Token::Word(word) => format!("'{word}'"),
        Token::Text(text) => format!("''{text}''"),
        Token::Sign(sign) => format!("'{sign}'"),
    }
}

impl Parser {
    fn query(&mut self) -> Result<Query, String> {
        self.expect("SELECT")?;
        let select = self.select()?;
        self.expect("FROM")?;
        let from = self.word()?;
        if from.contains('.') {
            return Err(format!("unexpected token: '{from}'"));
        }
        if self.peek() == Some(&Token::Sign(",")) {
            return Err("only one object can be queried".into());
        }
        let filter = if self.take("WHERE") { Some(self.condition()?) } else { None };
        if self.take("GROUP") || self.take("HAVING") {
            return Err("GROUP BY is not known to this simulation".into());
        }
        let mut order = Vec::new();
        if self.take("ORDER") {
            self.expect("BY")?;
            order.push(self.order()?);
            while self.take_sign(",") {
                order.push(self.order()?);
            }
        }
        let limit = if self.take("LIMIT") { Some(self.integer()?) } else { None };
        let offset = if self.take("OFFSET") { Some(self.integer()?) } else { None };
        if offset.is_some_and(|offset| offset > MOST_OFFSET) {
            return Err(format!("Maximum SOQL offset allowed is {MOST_OFFSET}"));
        }
        Ok(Query { select, from, filter, order, limit, offset })
    }

    fn select(&mut self) -> Result<Select, String> {
        let mut fields = Vec::new();
        loop {
            if self.peek() == Some(&Token::Sign("(")) {
                return Err("subqueries are not known to this simulation".into());
            }
            let word = self.word()?;
            if self.take_sign("(") {
                return self.function(&word, fields.is_empty());
            }
            if word.eq_ignore_ascii_case("TYPEOF") {
                return Err("TYPEOF is not known to this simulation".into());
            }
            fields.push(path(&word)?);
            if !self.take_sign(",") {
                return Ok(Select::Fields(fields));
            }
        }
    }

    fn function(&mut self, name: &str, is_alone: bool) -> Result<Select, String> {
        let argument = match self.peek() {
            Some(Token::Word(_)) => Some(self.word()?.to_uppercase()),
            _ => None,
        };
        if !self.take_sign(")") || !is_alone || self.peek() == Some(&Token::Sign(",")) {
            return Err(format!("unexpected use of '{name}'"));
        }
        match (name.to_uppercase().as_str(), argument.as_deref()) {
            ("COUNT", None) => Ok(Select::Count),
            ("FIELDS", Some(kind @ ("ALL" | "STANDARD" | "CUSTOM"))) => Ok(Select::Kind(kind.into())),
            _ => Err(format!("unknown function '{name}'")),
        }
    }

    /// A chain of conditions: AND and OR must not be mixed without parentheses.
    fn condition(&mut self) -> Result<Condition, String> {
        let first = self.single()?;
        let is_and = match self.peek_word().as_deref() {
            Some("AND") => true,
            Some("OR") => false,
            _ => return Ok(first),
        };
        let (own, other) = if is_and { ("AND", "OR") } else { ("OR", "AND") };
        let mut all = vec![first];
        while self.take(own) {
            all.push(self.single()?);
        }
        if self.peek_word().as_deref() == Some(other) {
            return Err(format!("unexpected token: '{other}'"));
        }
        Ok(if is_and { Condition::And(all) } else { Condition::Or(all) })
    }

    fn single(&mut self) -> Result<Condition, String> {
        if self.take_sign("(") {
            let inner = self.condition()?;
            return match self.take_sign(")") {
                true => Ok(inner),
                false => Err("expecting a right parentheses".into()),
            };
        }
        if self.take("NOT") {
            return Ok(Condition::Not(Box::new(self.single()?)));
        }
        let path = path(&self.word()?)?;
        if self.take("NOT") {
            self.expect("IN")?;
            return Ok(Condition::In { path, values: self.list()?, negated: true });
        }
        match self.next()? {
            Token::Word(word) if word.eq_ignore_ascii_case("IN") => {
                Ok(Condition::In { path, values: self.list()?, negated: false })
            }
            Token::Word(word) if word.eq_ignore_ascii_case("LIKE") => {
                let value = self.literal()?;
                match value {
                    Literal::Text(_) => Ok(Condition::Compare { path, operator: Operator::Like, value }),
                    _ => Err("LIKE needs a text".into()),
                }
            }
            Token::Word(word)
                if word.eq_ignore_ascii_case("INCLUDES") || word.eq_ignore_ascii_case("EXCLUDES") =>
            {
                let negated = word.eq_ignore_ascii_case("EXCLUDES");
                let values = self.list()?.into_iter().map(|value| match value {
                    Literal::Text(text) => Ok(text),
                    _ => Err(format!("{word} needs texts")),
                });
                Ok(Condition::Includes { path, values: values.collect::<Result<_, _>>()?, negated })
            }
            Token::Sign(sign) => {
                let operator = match sign {
                    "=" => Operator::Equal,
                    "!=" | "<>" => Operator::Unequal,
                    "<" => Operator::Less,
                    "<=" => Operator::LessOrEqual,
                    ">" => Operator::Greater,
                    ">=" => Operator::GreaterOrEqual,
                    other => return Err(format!("unexpected token: '{other}'")),
                };
                Ok(Condition::Compare { path, operator, value: self.literal()? })
            }
            // `IS NULL` among others.
            other => Err(format!("unexpected token: {}", shown(&other))),
        }
    }

    fn list(&mut self) -> Result<Vec<Literal>, String> {
        if !self.take_sign("(") {
            return Err("expecting a left parentheses".into());
        }
        let mut values = vec![self.literal()?];
        while self.take_sign(",") {
            values.push(self.literal()?);
        }
        match self.take_sign(")") {
            true => Ok(values),
            false => Err("expecting a right parentheses".into()),
        }
    }

    fn literal(&mut self) -> Result<Literal, String> {
        match self.next()? {
            Token::Text(text) if text.chars().count() > MOST_TEXT => {
                Err(format!("string literals cannot be longer than {MOST_TEXT} characters"))
            }
            Token::Text(text) => Ok(Literal::Text(text)),
            Token::Sign(sign) => Err(format!("unexpected token: '{sign}'")),
            Token::Word(word) => word_literal(&word),
        }
    }

    fn order(&mut self) -> Result<Order, String> {
        let path = path(&self.word()?)?;
        let descending = !self.take("ASC") && self.take("DESC");
        let mut nulls_last = false;
        if self.take("NULLS") {
            nulls_last = self.take("LAST");
            if !nulls_last {
                self.expect("FIRST")?;
            }
        }
        Ok(Order { path, descending, nulls_last })
    }

    fn integer(&mut self) -> Result<usize, String> {
        let word = self.word()?;
        word.parse().map_err(|_| format!("unexpected token: '{word}'"))
    }

    fn word(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Word(word) => Ok(word),
            other => Err(format!("unexpected token: {}", shown(&other))),
        }
    }

    fn next(&mut self) -> Result<Token, String> {
        let token = self.tokens.get(self.at).cloned().ok_or("unexpected end of the query")?;
        self.at += 1;
        Ok(token)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn peek_word(&self) -> Option<String> {
        match self.peek() {
            Some(Token::Word(word)) => Some(word.to_uppercase()),
            _ => None,
        }
    }

    fn take(&mut self, keyword: &str) -> bool {
        let is_there = self.peek_word().as_deref() == Some(keyword);
        self.at += usize::from(is_there);
        is_there
    }

    fn take_sign(&mut self, sign: &'static str) -> bool {
        let is_there = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, keyword: &str) -> Result<(), String> {
        match self.take(keyword) {
            true => Ok(()),
            false => Err(match self.peek() {
                Some(token) => format!("unexpected token: {} (expecting '{keyword}')", shown(token)),
                None => format!("expecting '{keyword}'"),
            }),
        }
    }
}

fn path(word: &str) -> Result<Path, String> {
    let parts: Vec<_> = word.split('.').map(String::from).collect();
    let is_name = |part: &String| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    match parts.iter().all(is_name) {
        true => Ok(parts),
        false => Err(format!("unexpected token: '{word}'")),
    }
}

fn word_literal(word: &str) -> Result<Literal, String> {
    let upper = word.to_uppercase();
    match upper.as_str() {
        "NULL" => return Ok(Literal::Null),
        "TRUE" => return Ok(Literal::Bool(true)),
        "FALSE" => return Ok(Literal::Bool(false)),
        "TODAY" => return Ok(Literal::Days(0, 0)),
        "YESTERDAY" => return Ok(Literal::Days(-1, -1)),
        _ => {}
    }
    if let Some(days) = upper.strip_prefix("LAST_N_DAYS:") {
        let days: i64 = days.parse().map_err(|_| format!("unexpected token: '{word}'"))?;
        return Ok(Literal::Days(-days, 0));
    }
    let is_date = word.len() == 10 && word.as_bytes()[4] == b'-';
    if let (true, Some(millis)) = (is_date, parse_millis(word)) {
        return Ok(Literal::Date(millis));
    }
    if let (true, Some(millis)) = (word.contains('T'), parse_millis(word)) {
        return Ok(Literal::Time(millis));
    }
    match word.parse::<f64>() {
        Ok(number) if number.is_finite() && !word.starts_with(char::is_alphabetic) => {
            Ok(Literal::Number(number))
        }
        _ => Err(format!("unexpected token: '{word}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_of_connectors_are_understood() {
        let query = parse(
            "SELECT Id, Account.Name FROM Opportunity WHERE SystemModstamp >= 2026-11-22T00:00:00Z AND \
             (StageName IN ('A','B\\'s') OR NOT Amount = null) ORDER BY SystemModstamp, Id DESC NULLS LAST LIMIT 10 OFFSET 5",
        )
        .unwrap();
        assert_eq!(
            query.select,
            Select::Fields(vec![vec!["Id".into()], vec!["Account".into(), "Name".into()]])
        );
        assert_eq!((query.limit, query.offset, query.order.len()), (Some(10), Some(5), 2));
        let Some(Condition::And(parts)) = query.filter else { panic!() };
        assert!(matches!(&parts[1], Condition::Or(either) if matches!(&either[0],
            Condition::In { values, .. } if values[1] == Literal::Text("B's".into()))));
    }

    #[test]
    fn what_salesforce_calls_malformed_is_malformed() {
        for text in [
            "",
            "SELECT FROM Account",
            "SELECT * FROM Account",
            "SELECT Id Account",
            "SELECT Id FROM Account, Contact",
            "SELECT Id FROM Account WHERE",
            "SELECT Id FROM Account WHERE Name IS NULL",
            "SELECT Id FROM Account WHERE Name = 'a",
            "SELECT Id FROM Account WHERE Name = 'a\\x'",
            "SELECT Id FROM Account WHERE Name = \"a\"",
            "SELECT Id FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'",
            "SELECT Id FROM Account WHERE (Name = 'a'",
            "SELECT Id FROM Account WHERE Name IN ()",
            "SELECT Id FROM Account WHERE CreatedDate > 2026-11-22T00:00:00",
            "SELECT Id FROM Account WHERE CreatedDate > 2026-11-22T00:00:00 00:00",
            "SELECT Id FROM Account LIMIT x",
            "SELECT Id FROM Account OFFSET 2001",
            "SELECT Id FROM Account; DELETE",
            "SELECT Id FROM Account LIMIT 1 LIMIT 2",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let long = format!("SELECT Id FROM Account WHERE Name = '{}'", "x".repeat(4_001));
        assert!(parse(&long).is_err());
    }
}

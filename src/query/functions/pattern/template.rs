//! Patterns of times, cut into fields and the text between them.

/// A field of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// `AM`: with points, in lower case.
    Meridiem {
        dots: bool,
        lower: bool,
    },
    /// `BC`
    Era {
        dots: bool,
        lower: bool,
    },
    Century,
    Day(Case),
    Dy(Case),
    DayOfYear,
    DayOfMonth,
    DayOfWeek,
    /// So many digits of the second.
    Fraction(u8),
    Hour24,
    Hour12,
    IsoDayOfYear,
    IsoDayOfWeek,
    IsoWeek,
    /// With so many digits.
    IsoYear(u8),
    Julian,
    Minute,
    Month,
    MonthName(Case),
    Mon(Case),
    Millisecond,
    Microsecond,
    Offset,
    Quarter,
    Roman {
        lower: bool,
    },
    SecondOfDay,
    Second,
    ZoneHour,
    ZoneMinute,
    Zone {
        lower: bool,
    },
    WeekOfYear,
    WeekOfMonth,
    YearComma,
    Year(u8),
    /// `FX`
    Exact,
}

/// How a name is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Upper,
    Capital,
    Lower,
}

impl Case {
    pub(super) fn apply(self, name: &str) -> String {
        match self {
            Case::Upper => name.to_uppercase(),
            Case::Capital => name.to_string(),
            Case::Lower => name.to_lowercase(),
        }
    }
}

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Field { field: Field, name: &'static str, fill: bool, ordinal: Option<bool> },
    Space(char),
    Separator(char),
    Text(char),
}

/// A pattern.
#[derive(Debug, Clone)]
pub(super) struct Template {
    pub(super) nodes: Vec<Node>,
}

use Case::{Capital, Lower, Upper};

/// Longer names before shorter ones they begin with.
const FIELDS: &[(&str, Field)] = &[
    ("A.D.", Field::Era { dots: true, lower: false }),
    ("A.M.", Field::Meridiem { dots: true, lower: false }),
    ("AD", Field::Era { dots: false, lower: false }),
    ("AM", Field::Meridiem { dots: false, lower: false }),
    ("B.C.", Field::Era { dots: true, lower: false }),
    ("BC", Field::Era { dots: false, lower: false }),
    ("CC", Field::Century),
    ("DAY", Field::Day(Upper)),
    ("DDD", Field::DayOfYear),
    ("DD", Field::DayOfMonth),
    ("DY", Field::Dy(Upper)),
    ("Day", Field::Day(Capital)),
    ("Dy", Field::Dy(Capital)),
    ("D", Field::DayOfWeek),
    ("FF1", Field::Fraction(1)),
    ("FF2", Field::Fraction(2)),
    ("FF3", Field::Fraction(3)),
    ("FF4", Field::Fraction(4)),
    ("FF5", Field::Fraction(5)),
    ("FF6", Field::Fraction(6)),
    ("FX", Field::Exact),
    ("HH24", Field::Hour24),
    ("HH12", Field::Hour12),
    ("HH", Field::Hour12),
    ("IDDD", Field::IsoDayOfYear),
    ("ID", Field::IsoDayOfWeek),
    ("IW", Field::IsoWeek),
    ("IYYY", Field::IsoYear(4)),
    ("IYY", Field::IsoYear(3)),
    ("IY", Field::IsoYear(2)),
    ("I", Field::IsoYear(1)),
    ("J", Field::Julian),
    ("MI", Field::Minute),
    ("MM", Field::Month),
    ("MONTH", Field::MonthName(Upper)),
    ("MON", Field::Mon(Upper)),
    ("MS", Field::Millisecond),
    ("Month", Field::MonthName(Capital)),
    ("Mon", Field::Mon(Capital)),
    ("OF", Field::Offset),
    ("P.M.", Field::Meridiem { dots: true, lower: false }),
    ("PM", Field::Meridiem { dots: false, lower: false }),
    ("Q", Field::Quarter),
    ("RM", Field::Roman { lower: false }),
    ("SSSSS", Field::SecondOfDay),
    ("SSSS", Field::SecondOfDay),
    ("SS", Field::Second),
    ("TZH", Field::ZoneHour),
    ("TZM", Field::ZoneMinute),
    ("TZ", Field::Zone { lower: false }),
    ("US", Field::Microsecond),
    ("WW", Field::WeekOfYear),
    ("W", Field::WeekOfMonth),
    ("Y,YYY", Field::YearComma),
    ("YYYY", Field::Year(4)),
    ("YYY", Field::Year(3)),
    ("YY", Field::Year(2)),
    ("Y", Field::Year(1)),
];

/// The field in lower case, where that makes a difference.
fn lowered(field: Field) -> Field {
    match field {
        Field::Era { dots, .. } => Field::Era { dots, lower: true },
        Field::Meridiem { dots, .. } => Field::Meridiem { dots, lower: true },
        Field::Day(_) => Field::Day(Lower),
        Field::Dy(_) => Field::Dy(Lower),
        Field::MonthName(_) => Field::MonthName(Lower),
        Field::Mon(_) => Field::Mon(Lower),
        Field::Roman { .. } => Field::Roman { lower: true },
        Field::Zone { .. } => Field::Zone { lower: true },
        other => other,
    }
}

fn field_at(text: &str) -> Option<(&'static str, Field)> {
    for (name, field) in FIELDS {
        if text.starts_with(name) {
            return Some((name, *field));
        }
        let is_capital = name.bytes().any(|b| b.is_ascii_lowercase());
        let start = text.get(..name.len());
        if !is_capital && start.is_some_and(|start| start == name.to_ascii_lowercase()) {
            return Some((name, lowered(*field)));
        }
    }
    None
}

impl Template {
    pub(super) fn parse(pattern: &str) -> Self {
        let mut nodes = Vec::new();
        let mut rest = pattern;
        while !rest.is_empty() {
            let mut fill = false;
            while let Some(prefix) = ["FM", "fm", "TM", "tm"].iter().find(|prefix| rest.starts_with(**prefix))
            {
                fill |= prefix.eq_ignore_ascii_case("FM");
                rest = &rest[2..];
            }
            if let Some((name, field)) = field_at(rest) {
                rest = &rest[name.len()..];
                let mut ordinal = None;
                if let Some(suffix) = ["TH", "th"].iter().find(|suffix| rest.starts_with(**suffix)) {
                    ordinal = Some(*suffix == "TH");
                    rest = &rest[2..];
                } else if rest.starts_with("SP") {
                    rest = &rest[2..];
                }
                nodes.push(Node::Field { field, name, fill, ordinal });
                continue;
            }
            let Some(c) = rest.chars().next() else { break };
            rest = &rest[c.len_utf8()..];
            match c {
                '"' => rest = quoted(rest, &mut nodes),
                '\\' if rest.starts_with('"') => {
                    nodes.push(Node::Text('"'));
                    rest = &rest[1..];
                }
                c if c.is_ascii_whitespace() => nodes.push(Node::Space(c)),
                c if c.is_ascii_punctuation() => nodes.push(Node::Separator(c)),
                c => nodes.push(Node::Text(c)),
            }
        }
        Template { nodes }
    }
}

/// The text up to the closing quote, in which a backslash escapes.
fn quoted<'a>(text: &'a str, nodes: &mut Vec<Node>) -> &'a str {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return &text[at + 1..],
            '\\' => {
                if let Some((_, c)) = chars.next() {
                    nodes.push(Node::Text(c));
                }
            }
            c => nodes.push(Node::Text(c)),
        }
    }
    ""
}

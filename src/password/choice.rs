//! Which passwords may be chosen.

use std::collections::HashSet;

use crate::error::{Error, Kind, Result};

/// The least length of a password, in characters.
const MIN_CHARACTERS: usize = 12;
/// The greatest, in bytes: a hash takes as long as it is asked to.
const MAX_BYTES: usize = 1_000;
/// The least number of different characters.
const MIN_DIFFERENT: usize = 5;

/// Beginnings of what is guessed first among passwords of this length; what follows them is digits and signs.
const GUESSED: &[&str] = &[
    "123456789",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "qwertyuiop",
    "qwertzuiop",
    "qwerty123456",
    "qazwsxedcrfv",
    "asdfghjkl",
    "abcdefghijkl",
    "password",
    "passwordpassword",
    "administrator",
    "adminadminadmin",
    "changeme",
    "changemechangeme",
    "letmeinletmein",
    "iloveyou",
    "iloveyouiloveyou",
    "trustno1trustno1",
    "correcthorsebatterystaple",
    "tributary",
    "tributarytributary",
];

/// Refuses a password that is short or among the first that anybody guesses, which the name of its user belongs to.
///
/// # Errors
/// `Invalid`; the password is never repeated.
pub fn check_choice(password: &str, user: &str) -> Result<()> {
    let refused = |what: String| {
        Err(Error::new(Kind::Invalid, what).with_hint("long passwords beat complicated ones: use a sentence"))
    };
    if password.chars().count() < MIN_CHARACTERS {
        return refused(format!("the password is shorter than {MIN_CHARACTERS} characters"));
    }
    if password.len() > MAX_BYTES {
        return refused(format!("the password is longer than {MAX_BYTES} bytes"));
    }
    if password.chars().collect::<HashSet<_>>().len() < MIN_DIFFERENT {
        return refused(format!("the password has fewer than {MIN_DIFFERENT} different characters"));
    }
    let plain = password.to_lowercase();
    let is_rest = |rest: &str| !rest.chars().any(char::is_alphabetic);
    let is_guessed = |guess: &str| plain.strip_prefix(guess).is_some_and(is_rest);
    if GUESSED.iter().any(|guess| is_guessed(guess)) {
        return refused("the password is one of the first that are guessed".into());
    }
    let name = user.to_lowercase();
    if !name.is_empty() && plain.contains(&name) && is_rest(&plain.replace(&name, "")) {
        return refused("the password is made of the name of its user".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_guesses_is_refused() {
        for (password, words) in [
            ("few", "shorter than 12"),
            ("aaaaaaaaaaaaaaaa", "different characters"),
            ("Password2026!", "first that are guessed"),
            ("123456789012", "first that are guessed"),
            ("annannann2026", "name of its user"),
            ("ann1234567890", "name of its user"),
        ] {
            let error = check_choice(password, "ann").unwrap_err();
            assert!(error.what().contains(words), "{password}: {error}");
            assert!(!format!("{error:?}").contains(password));
        }
        assert!(check_choice("annannann2026", "Ann").is_err());
        assert!(check_choice(&"long".repeat(300), "ann").is_err());
    }

    #[test]
    fn a_sentence_is_accepted() {
        check_choice("my cat eats two fish a day", "ann").unwrap();
        check_choice("password of my first bicycle", "ann").unwrap();
        check_choice("Tr1butary test: secret", "admin").unwrap();
    }
}

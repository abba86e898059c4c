//! Record ids: 15 characters that tell case apart, and 3 that make up for systems that do not.

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECK: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// The 18 characters of the `number`-th record of the object with this key prefix.
pub(super) fn make(prefix: &str, number: u64) -> String {
    let mut digits = Vec::new();
    let mut left = number;
    for _ in 0..8 {
        digits.push(DIGITS[(left % 62) as usize]);
        left /= 62;
    }
    digits.reverse();
    let short: String =
        prefix.chars().chain("0D00".chars()).chain(digits.into_iter().map(char::from)).collect();
    lengthen(&short)
}

/// An id of 15 characters with its check characters; other texts as they are.
pub(super) fn lengthen(id: &str) -> String {
    if id.len() != 15 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id.into();
    }
    let mut long = id.to_string();
    for chunk in id.as_bytes().chunks(5) {
        let bits = chunk.iter().enumerate().map(|(at, byte)| usize::from(byte.is_ascii_uppercase()) << at);
        long.push(char::from(CHECK[bits.sum::<usize>()]));
    }
    long
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_check_characters_of_the_vendor() {
        // The example of Salesforce's own documentation.
        assert_eq!(lengthen("001A0000006Vm9r"), "001A0000006Vm9rIAC");
        assert_eq!(make("006", 1).len(), 18);
        assert_ne!(make("006", 1), make("006", 62));
    }
}

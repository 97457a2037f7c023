//! Percent-encoding as RFC 3986 has it, for everything that is put into an address. Decoding is left to whoever knows how
//! strict it has to be.

/// Whether a byte stands for itself wherever it is.
pub fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Appends a byte: itself when unreserved, else `%` and two capital hex digits.
pub fn encode_byte(byte: u8, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if unreserved(byte) {
        out.push(char::from(byte));
    } else {
        out.push('%');
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

/// Appends a text, byte by byte.
pub fn encode(text: &str, out: &mut String) {
    text.bytes().for_each(|byte| encode_byte(byte, out));
}

/// The value of a hex digit.
pub fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

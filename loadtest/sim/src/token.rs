//! How text is counted: the rule that stands in for a tokenizer.
//!
//! A token is a piece of at most [`PIECE_BYTES_MAX`] bytes: letters and digits, with the
//! one space before them if there is one; every other character is a piece of its own.
//! A token's number holds its bytes behind a leading one bit, so that detokenizing needs
//! no vocabulary. Numbers below 256 are marks of the chat template.

/// Longest piece, in bytes; keeps a token's number below 2^49, exact in JSON.
pub(crate) const PIECE_BYTES_MAX: usize = 6;
/// Starts a message of the chat template.
const MESSAGE_START: u64 = 1;
/// Ends a message, and so is what a model emits to stop.
pub(crate) const MESSAGE_END: u64 = 2;
/// Stands for the line break behind the role.
const ROLE_END: u64 = 3;
/// Stands for the role; assistant, so that an answer can continue a prompt.
const ASSISTANT: u64 = 4;

/// The pieces of a text, which put together are the text.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, tail) = rest.split_at_checked(piece_bytes(rest))?;
        rest = tail;
        (!piece.is_empty()).then_some(piece)
    })
}

/// The tokens of a text without a template.
pub(crate) fn encode(text: &str, into: &mut Vec<u64>) {
    into.extend(pieces(text).map(number));
}

/// Puts one message of a chat into a prompt: four tokens beside its content.
pub(crate) fn encode_message(role: &str, content: &str, into: &mut Vec<u64>) {
    into.extend([MESSAGE_START, role_number(role), ROLE_END]);
    encode(content, into);
    into.push(MESSAGE_END);
}

/// Ends a prompt so that the answer follows: three tokens.
pub(crate) fn open_answer(into: &mut Vec<u64>) {
    into.extend([MESSAGE_START, ASSISTANT, ROLE_END]);
}

/// The text of tokens. Marks are silent; bytes that are no text become U+FFFD.
pub(crate) fn decode(tokens: &[u64]) -> String {
    let mut bytes = Vec::with_capacity(tokens.len() * PIECE_BYTES_MAX);
    for token in tokens {
        let significant = token.to_be_bytes();
        let mut significant = significant.iter().skip_while(|byte| **byte == 0);
        significant.next();
        bytes.extend(significant);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn piece_bytes(text: &str) -> usize {
    let mut length = 0;
    for (at, c) in text.char_indices() {
        let opens = at == 0 && c == ' ';
        if at == 0 && !opens && !c.is_alphanumeric() {
            return c.len_utf8();
        }
        let fits = at + c.len_utf8() <= PIECE_BYTES_MAX;
        if !(opens || (c.is_alphanumeric() && fits)) {
            break;
        }
        length = at + c.len_utf8();
    }
    length
}

fn number(piece: &str) -> u64 {
    piece.bytes().fold(1, |number, byte| (number << 8) | u64::from(byte))
}

fn role_number(role: &str) -> u64 {
    match role {
        "assistant" => ASSISTANT,
        "user" => 5,
        "system" | "developer" => 6,
        "tool" => 7,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_word_takes_its_space_along_and_is_cut_at_six_bytes() {
        let cut: Vec<_> = pieces("The mountains, 2026.  é").collect();
        assert_eq!(cut, ["The", " mount", "ains", ",", " 2026", ".", " ", " é"]);
    }

    #[test]
    fn a_message_costs_four_tokens_and_the_opening_three() {
        let mut prompt = Vec::new();
        encode_message("user", "Hi", &mut prompt);
        open_answer(&mut prompt);
        assert_eq!(prompt.len(), 4 + 1 + 3);
    }

    #[test]
    fn tokens_that_are_no_text_become_replacement_characters() {
        assert_eq!(decode(&[number("f"), 0x1f0, MESSAGE_END]), "f\u{fffd}");
    }

    proptest! {
        #[test]
        fn any_text_survives_encoding(text: String) {
            let mut tokens = Vec::new();
            encode(&text, &mut tokens);
            prop_assert_eq!(decode(&tokens), text);
        }

        #[test]
        fn no_token_number_exceeds_what_json_keeps_exact(text: String) {
            let mut tokens = Vec::new();
            encode(&text, &mut tokens);
            prop_assert!(tokens.iter().all(|token| (256..1 << 53).contains(token)));
        }
    }
}

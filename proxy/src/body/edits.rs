//! Edits of a body that leave every other byte unchanged.
//!
//! A body is never parsed and serialized again. Several stages may each add their edits; they are
//! applied once.

use std::ops::Range;

use bytes::Bytes;

/// Edits of one body, by offsets in the original.
#[derive(Clone, Debug, Default)]
pub struct BodyEdits(Vec<Edit>);

#[derive(Clone, Debug)]
struct Edit {
    span: Range<usize>,
    with: Bytes,
}

impl BodyEdits {
    /// Replaces `span`. The spans of one list must not overlap; they may touch.
    pub fn replace(&mut self, span: Range<usize>, with: impl Into<Bytes>) {
        self.0.push(Edit { span, with: with.into() });
    }

    /// Inserts before the byte at `offset`. Of two at one offset the first stays first.
    pub fn insert(&mut self, offset: usize, with: impl Into<Bytes>) {
        self.replace(offset..offset, with);
    }

    /// The edited body: the same allocation if there are no edits, else a copy.
    pub fn apply(mut self, body: &Bytes) -> Bytes {
        if self.0.is_empty() {
            return body.clone();
        }
        self.0.sort_by_key(|edit| (edit.span.start, edit.span.end));
        let added: usize = self.0.iter().map(|edit| edit.with.len()).sum();
        let mut out = Vec::with_capacity(body.len() + added);
        let mut copied = 0;
        for Edit { span, with } in self.0 {
            debug_assert!(copied <= span.start && span.end <= body.len(), "not edits of this body");
            out.extend_from_slice(body.get(copied..span.start).unwrap_or_default());
            out.extend_from_slice(&with);
            copied = span.end;
        }
        out.extend_from_slice(body.get(copied..).unwrap_or_default());
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(edits: impl FnOnce(&mut BodyEdits)) -> Bytes {
        let mut list = BodyEdits::default();
        edits(&mut list);
        list.apply(&Bytes::from_static(b"0123456789"))
    }

    #[test]
    fn the_order_in_which_edits_were_added_does_not_matter() {
        let expected: &[u8] = b"01ab56cd9";
        assert_eq!(applied(|e| (e.replace(2..5, "ab"), e.replace(7..9, "cd")).1), expected);
        assert_eq!(applied(|e| (e.replace(7..9, "cd"), e.replace(2..5, "ab")).1), expected);
    }

    #[test]
    fn an_insertion_may_touch_a_replacement_on_either_side() {
        let edits = |e: &mut BodyEdits| {
            e.insert(5, ">");
            e.insert(2, "<");
            e.replace(2..5, "ab");
        };
        assert_eq!(applied(edits), &b"01<ab>56789"[..]);
    }

    #[test]
    fn both_ends_can_be_changed() {
        let edits = |e: &mut BodyEdits| {
            e.insert(0, "<");
            e.replace(9..10, "");
            e.insert(10, ">");
        };
        assert_eq!(applied(edits), &b"<012345678>"[..]);
    }

    #[test]
    fn a_body_without_edits_is_not_copied() {
        let body = Bytes::from(vec![b'x'; 100]);
        assert_eq!(BodyEdits::default().apply(&body).as_ptr(), body.as_ptr());
    }
}

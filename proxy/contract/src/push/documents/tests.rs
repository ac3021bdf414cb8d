use super::*;
use crate::push::Kind;
use proptest::prelude::*;

fn documents(of: &[(u8, u8)]) -> Documents {
    let mut documents = Documents::default();
    for (name, document) in of {
        documents.put(key(*name), vec![*document].into());
    }
    documents
}

fn key(name: u8) -> Name {
    Name::new(Kind::Key, name.to_string())
}

proptest! {
    #[test]
    fn equal_sets_have_equal_digests_whatever_their_history(
        first: Vec<(u8, u8)>,
        second: Vec<(u8, u8)>,
        removed: Vec<u8>,
    ) {
        let mut changed = documents(&first);
        for name in &removed {
            changed.remove(&key(*name));
        }
        for (name, document) in &second {
            changed.put(key(*name), vec![*document].into());
        }
        let mut anew = Documents::default();
        for (name, document) in changed.iter() {
            anew.put(name.clone(), document.clone());
        }
        prop_assert_eq!(&anew, &changed);
        prop_assert_eq!(anew.digest(), changed.digest());
        let bytes = |(name, document): (&Name, &Bytes)| name.name.len() + document.len();
        prop_assert_eq!(changed.bytes(), changed.iter().map(bytes).sum::<usize>());
        let mut larger = changed.clone();
        larger.put(key(0), "a larger one".into());
        prop_assert_eq!(changed.bytes_with(&key(0), "a larger one".len()), larger.bytes());
    }

    #[test]
    fn a_difference_turns_one_set_into_the_other(one: Vec<(u8, u8)>, other: Vec<(u8, u8)>) {
        let (mut one, other) = (documents(&one), documents(&other));
        one.apply(other.since(&one));
        prop_assert_eq!(one, other);
    }

    #[test]
    fn a_digest_comes_back_from_the_wire(of: Vec<(u8, u8)>) {
        let digest = documents(&of).digest();
        prop_assert_eq!(Digest::parse(&digest.to_vec()), Ok(Some(digest)));
    }
}

#[test]
fn the_same_document_under_another_name_is_another_set() {
    assert_ne!(documents(&[(1, 7)]).digest(), documents(&[(2, 7)]).digest());
    assert_ne!(documents(&[(1, 7)]).digest(), documents(&[(1, 8)]).digest());
}

#[test]
fn a_digest_of_another_length_is_rejected() {
    assert_eq!(Digest::parse(&[]), Ok(None));
    assert_eq!(Digest::parse(&[1; 31]), Err(InvalidChange::Digest(31)));
}

#[test]
fn debug_output_never_holds_a_document() {
    let mut documents = Documents::default();
    documents.put(key(1), "sk-upstream".into());
    assert!(!format!("{documents:?}").contains("sk-upstream"));
}

use super::*;

const FIRST: &str = "2030-01-01T00:00:00Z";
const LATER: &str = "2030-01-02T00:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn starting(message: &str) -> Finding {
    Finding::new(ConditionType::ServingReady, Reason::Starting, message)
}

#[test]
fn the_time_of_the_last_transition_stays_while_the_status_does() {
    let mut conditions = Vec::new();
    assert!(set_condition(&mut conditions, starting("loading"), Some(1), at(FIRST)));
    assert!(set_condition(&mut conditions, starting("compiling"), Some(1), at(LATER)));
    assert_eq!(conditions[0].message, "compiling");
    assert_eq!(conditions[0].last_transition_time, Time(at(FIRST)));

    let ready = Finding::new(ConditionType::ServingReady, Reason::Ready, "");
    assert!(set_condition(&mut conditions, ready, Some(1), at(LATER)));
    assert_eq!(conditions[0].last_transition_time, Time(at(LATER)));
    assert_eq!(conditions.len(), 1);
}

#[test]
fn the_same_finding_again_changes_nothing() {
    let mut conditions = Vec::new();
    set_condition(&mut conditions, starting("loading"), Some(1), at(FIRST));
    let before = conditions.clone();
    assert!(!set_condition(&mut conditions, starting("loading"), Some(1), at(LATER)));
    assert_eq!(conditions, before);
}

#[test]
fn a_generation_that_was_observed_is_a_change() {
    let mut conditions = Vec::new();
    set_condition(&mut conditions, starting("loading"), Some(1), at(FIRST));
    assert!(set_condition(&mut conditions, starting("loading"), Some(2), at(LATER)));
    assert_eq!(conditions[0].observed_generation, Some(2));
}

#[test]
fn other_conditions_stay_as_they_are() {
    let mut conditions = Vec::new();
    set_condition(&mut conditions, starting("loading"), None, at(FIRST));
    let accepted = Finding::new(ConditionType::Accepted, Reason::Accepted, "");
    set_condition(&mut conditions, accepted, None, at(FIRST));
    let types: Vec<_> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
    assert_eq!(types, ["ServingReady", "Accepted"]);
}

#[test]
fn a_message_that_is_too_long_is_cut_between_characters() {
    let mut conditions = Vec::new();
    let long = "ä".repeat(MESSAGE_BYTES_MAX);
    set_condition(&mut conditions, starting(&long), None, at(FIRST));
    let message = &conditions[0].message;
    assert!(message.len() <= MESSAGE_BYTES_MAX && message.ends_with("ä…"), "{message}");
}

#[test]
fn every_reason_belongs_to_a_condition_and_every_condition_to_a_kind() {
    for reason in Reason::ALL {
        let given = ConditionType::ALL.iter().any(|about| about.reasons().contains(reason));
        assert!(given, "{reason} is given by no condition");
    }
    let kinds =
        [ConditionType::LLM_MODEL, ConditionType::PASSTHROUGH_MODEL, ConditionType::API_KEY];
    for about in ConditionType::ALL {
        assert!(kinds.concat().contains(about), "{about} is of no kind");
    }
}

#[test]
fn every_condition_can_be_fulfilled_and_not() {
    for about in ConditionType::ALL {
        for status in ["True", "False"] {
            let can = about.reasons().iter().any(|reason| reason.status() == status);
            assert!(can, "{about} is never {status}");
        }
    }
}

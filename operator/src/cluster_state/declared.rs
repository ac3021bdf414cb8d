//! In which namespaces models are declared: what keys for all of them depend on.

use std::collections::HashMap;

/// How many resources declare models, by namespace; nothing of a namespace without any.
#[derive(Debug, Default)]
pub(crate) struct Declared(HashMap<Box<str>, usize>);

impl Declared {
    /// One is new, or gone. Says whether the namespace has got its first one, or lost its last.
    pub(crate) fn moved(&mut self, namespace: &str, there: bool) -> bool {
        match self.0.get_mut(namespace) {
            Some(count) if there => *count += 1,
            Some(count) if 1 < *count => *count -= 1,
            None if there => return self.0.insert(namespace.into(), 1).is_none(),
            Some(_) | None => return self.0.remove(namespace).is_some(),
        }
        false
    }

    /// Whether there is any in a namespace.
    pub(crate) fn is_in(&self, namespace: &str) -> bool {
        self.0.contains_key(namespace)
    }

    /// The namespaces that have some.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(Box::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_and_the_last_one_of_a_namespace_are_told_apart_from_others() {
        let mut declared = Declared::default();
        for (namespace, there, is_edge) in [
            ("a", true, true),
            ("a", true, false),
            ("b", true, true),
            ("a", false, false),
            ("a", false, true),
            ("a", false, false),
            ("a", true, true),
        ] {
            assert_eq!(declared.moved(namespace, there), is_edge, "{namespace} {there}");
            assert_eq!(declared.is_in("b"), declared.namespaces().any(|it| it == "b"));
        }
    }
}

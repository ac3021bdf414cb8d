//! The names of everything that is made of a model.

use llm_contract::ResourceName;

/// The names of everything that is made of a model; all of them Kubernetes would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Of the model itself, and of its Service, Deployment and PodMonitor.
    pub model: ResourceName,
    /// Of its volume.
    pub claim: ResourceName,
    /// Of its ServiceAccount.
    pub account: ResourceName,
    /// Of its NetworkPolicy.
    pub policy: ResourceName,
}

/// Why nothing can be made of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "metadata.name: a Service needs a name of at most {} lower-case letters, digits and `-` that \
     begins with a letter and does not end with `-`: give the model another name",
    Names::BYTES_MAX
)]
pub struct InvalidName;

impl Names {
    /// The longest name of a Service, and the longest value of a label.
    pub const BYTES_MAX: usize = 63;

    /// The names of what is made of a model.
    ///
    /// # Errors
    /// [`InvalidName`] if its own name is none that a Service may have.
    pub fn of(model: &ResourceName) -> Result<Self, InvalidName> {
        let name = model.name();
        let plain = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
        let fits = name.len() <= Self::BYTES_MAX
            && name.bytes().all(plain)
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && !name.ends_with('-');
        let derived = |suffix: &str| {
            ResourceName::parse(&format!("{model}-{suffix}")).map_err(|_same| InvalidName)
        };
        if !fits {
            return Err(InvalidName);
        }
        Ok(Self {
            model: model.clone(),
            claim: derived("model-storage")?,
            account: derived("sa")?,
            policy: derived("deny-direct")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_like_a_service() {
        for (name, good) in [
            ("models/qwen3", true),
            ("models/3b", false),
            ("models/qwen-", false),
            ("models/qwen3.5", false),
            (&format!("models/{}", "q".repeat(63)), true),
            (&format!("models/{}", "q".repeat(64)), false),
        ] {
            let name = ResourceName::parse(name).unwrap();
            assert_eq!(Names::of(&name).is_ok(), good, "{name}");
        }
    }
}

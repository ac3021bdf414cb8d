//! The page about conditions.

use super::{GenerateError, GeneratedFile};
use crate::{ConditionType, Reason};
use std::fmt::Write;

const HEAD: &str = "\
# Conditions

<!-- Generated from operator/crd by `make generate`: edit the types there instead. -->

The conditions of a resource say what is fulfilled and what is not, and why. The reason is one of
the words below; the message says the same about this resource in particular. See them with

```sh
kubectl describe llmmodel NAME
kubectl wait llmmodel NAME --for=condition=RouteProgrammed --timeout=20m
```

A condition is `True`, `False`, or `Unknown` (the operator could not find out). A reason implies
the status.
";

const KINDS: [(&str, &str, &[ConditionType]); 3] = [
    ("LLMModel", "llmmodel.md", ConditionType::LLM_MODEL),
    ("PassthroughModel", "passthroughmodel.md", ConditionType::PASSTHROUGH_MODEL),
    ("ApiKey", "apikey.md", ConditionType::API_KEY),
];

pub(super) fn file() -> Result<GeneratedFile, GenerateError> {
    let mut text = HEAD.to_owned();
    text.push_str("\n| Condition |");
    for (kind, page, _) in KINDS {
        write!(text, " [{kind}]({page}) |")?;
    }
    text.push_str("\n|---|:-:|:-:|:-:|\n");
    for about in ConditionType::ALL {
        write!(text, "| [{about}](#{}) |", about.as_str().to_ascii_lowercase())?;
        for (.., conditions) in KINDS {
            text.push_str(if conditions.contains(about) { " x |" } else { " |" });
        }
        text.push('\n');
    }
    for about in ConditionType::ALL {
        write!(text, "\n## {about}\n\n{}\n\n", about.doc())?;
        text.push_str("| Reason | Status | Meaning, and what to do |\n|---|---|---|\n");
        for reason in about.reasons() {
            row(&mut text, *reason)?;
        }
    }
    Ok(GeneratedFile { name: "conditions.md".into(), text })
}

fn row(text: &mut String, reason: Reason) -> Result<(), GenerateError> {
    Ok(writeln!(text, "| `{reason}` | {} | {} |", reason.status(), reason.doc())?)
}

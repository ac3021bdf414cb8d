//! The reference page for conditions.

use super::{GenerateError, GeneratedFile};
use crate::{ConditionType, Reason};
use std::fmt::Write;

const HEAD: &str = "\
# Conditions

<!-- Generated from operator/crd by `make generate`: edit the types there instead. -->

The conditions of a resource describe its current state. Each has one of the reasons listed below
and a message with details about this particular resource. To view them, run:

```sh
kubectl describe llmmodel NAME
kubectl wait llmmodel NAME --for=condition=RouteProgrammed --timeout=20m
```

The status of a condition is `True`, `False`, or `Unknown` (the operator could not determine it).
Each reason implies one status.
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
        write!(text, "\n## {about}\n\n{}\n\n", one_line(about.doc()))?;
        text.push_str("| Reason | Status | Description |\n|---|---|---|\n");
        for reason in about.reasons() {
            row(&mut text, *reason)?;
        }
    }
    Ok(GeneratedFile { name: "conditions.md".into(), text })
}

fn row(text: &mut String, reason: Reason) -> Result<(), GenerateError> {
    Ok(writeln!(text, "| `{reason}` | {} | {} |", reason.status(), one_line(reason.doc()))?)
}

/// Joins the lines of a doc comment.
fn one_line(doc: &str) -> String {
    doc.replace('\n', " ")
}

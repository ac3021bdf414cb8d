//! What manifests of the first release rely on.

use serde_json::Value;
use std::collections::BTreeMap;

/// The schemas of the three kinds, without what is below types of Kubernetes.
fn schemas() -> BTreeMap<String, Value> {
    let definitions = llm_crd::definitions().unwrap();
    let all = definitions.iter().map(|definition| {
        let schema = definition.spec.versions[0].schema.as_ref().unwrap();
        let schema = serde_json::to_value(schema.open_api_v3_schema.as_ref().unwrap()).unwrap();
        (definition.spec.names.kind.clone(), schema)
    });
    all.collect()
}

/// Calls with the path and the schema of everything in a schema.
fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), field, visit);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[key].is_object() {
            walk(&format!("{path}{mark}"), &schema[key], visit);
        }
    }
}

fn collect(kind: &str, mut of: impl FnMut(&Value) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    walk("", &schemas()[kind], &mut |path, schema| {
        let foreign = ["affinity", "extraEnv", "tolerations", "conditions", "imagePullSecrets"];
        if let Some(text) = of(schema)
            && !foreign.iter().any(|name| path.contains(name))
        {
            found.push(format!("{path}: {text}"));
        }
    });
    found
}

#[test]
fn defaults_are_those_of_the_older_pack_and_no_more() {
    let defaults =
        |kind| collect(kind, |schema| schema.get("default").map(|default| default.to_string()));
    assert_eq!(
        defaults("LLMModel"),
        [
            ".spec.endpoints.external.enabled: true",
            ".spec.endpoints.internal.enabled: true",
            ".spec.endpoints.requestTimeout: \"600s\"",
            ".spec.model.storage.type: \"pvc\"",
            ".spec.resources.gpu.type: \"nvidia\"",
            ".spec.serving.dataParallelism: 1",
            ".spec.serving.replicas: 1",
            ".spec.serving.updateStrategy: \"Recreate\"",
        ]
    );
    assert_eq!(
        defaults("PassthroughModel"),
        [
            ".spec.models.catchAll: false",
            ".spec.provider.port: 443",
            ".spec.provider.schemaVersion: \"v1\"",
        ]
    );
    assert_eq!(defaults("ApiKey"), Vec::<String>::new());
}

#[test]
fn what_is_required_of_older_fields_is_what_was() {
    let required = |kind| collect(kind, |schema| Some(schema.get("required")?.to_string()));
    let llm_model = required("LLMModel");
    for line in [
        ": [\"spec\"]",
        ".spec: [\"access\",\"model\",\"resources\"]",
        ".spec.model: [\"name\",\"source\"]",
        ".spec.resources: [\"gpu\"]",
        ".spec.resources.gpu: [\"count\",\"type\"]",
    ] {
        assert!(llm_model.iter().any(|found| found == line), "{line} in {llm_model:#?}");
    }
    let older = [".spec.access:", ".spec.serving:", ".spec.endpoints:", ".spec.model.storage:"];
    assert!(!llm_model.iter().any(|found| older.iter().any(|path| found.starts_with(path))));
    let provider = required("PassthroughModel");
    assert!(provider.contains(&".spec: [\"access\",\"provider\"]".to_owned()), "{provider:#?}");
}

#[test]
fn the_columns_of_the_older_pack_come_first_and_alone() {
    let columns = |at: usize| {
        let definition = &llm_crd::definitions().unwrap()[at];
        let columns = definition.spec.versions[0].additional_printer_columns.clone().unwrap();
        let narrow = columns.into_iter().filter(|column| column.priority.is_none());
        narrow.map(|it| format!("{} {} {}", it.name, it.type_, it.json_path)).collect::<Vec<_>>()
    };
    assert_eq!(
        columns(0),
        [
            "Phase string .status.phase",
            "Model string .spec.model.name",
            "Replicas string .status.replicas.ready",
            "Age date .metadata.creationTimestamp",
        ]
    );
    assert_eq!(
        columns(1),
        [
            "Phase string .status.phase",
            "Provider string .spec.provider.hostname",
            "Age date .metadata.creationTimestamp",
        ]
    );
}

#[test]
fn as_in_the_first_release_nothing_may_be_null() {
    for kind in schemas().keys() {
        let nullable = collect(kind, |schema| schema.get("nullable").map(|it| it.to_string()));
        assert_eq!(nullable, Vec::<String>::new(), "{kind}");
    }
}

#[test]
fn every_format_is_one_that_kubernetes_knows() {
    for (kind, schema) in schemas() {
        walk("", &schema, &mut |path, schema| {
            let format = schema.get("format").and_then(Value::as_str).unwrap_or("int32");
            let known = ["int32", "int64", "double", "date-time", "byte"].contains(&format);
            assert!(known, "{kind}{path}: {format}");
        });
    }
}

#[test]
fn every_field_of_ours_is_described_by_sentences() {
    for (kind, schema) in schemas() {
        walk("", &schema, &mut |path, schema| {
            let values = path.ends_with("[]") || path.ends_with("{}");
            let untold = ["", ".apiVersion", ".kind", ".metadata"].contains(&path);
            let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
            let sentence =
                text.ends_with('.') && text.chars().next().is_some_and(char::is_uppercase);
            let foreign = ["affinity", "extraEnv", "tolerations", "conditions", "imagePullSecrets"];
            let ours = !foreign.iter().any(|name| path.contains(name));
            assert!(values || untold || !ours || sentence, "{kind}{path}: {text:?}");
        });
    }
}

#[test]
fn a_definition_is_small_enough_for_kubectl_apply() {
    const ANNOTATION_BYTES_MAX: usize = 262_144;
    for definition in llm_crd::definitions().unwrap() {
        let bytes = serde_json::to_vec(&definition).unwrap().len();
        assert!(bytes < ANNOTATION_BYTES_MAX, "{bytes}");
    }
}

use super::*;
use std::time::Duration;

fn spec(yaml: &str) -> LLMModelSpec {
    serde_saphyr::from_str(yaml).unwrap()
}

/// What older manifests had to say, with more fields of the spec.
fn with(more: &str) -> LLMModelSpec {
    spec(&format!(
        "model: {{name: a/b, source: huggingface}}\nresources: {{gpu: {{count: 2}}}}\n\
         access: {{public: true}}\n{more}"
    ))
}

#[test]
fn what_is_absent_has_the_values_of_the_older_pack() {
    let spec = with("");
    assert_eq!(spec.replicas(), 1);
    assert_eq!(spec.tensor_parallelism(), 2, "as many as there are GPUs");
    assert_eq!(spec.data_parallelism(), 1);
    assert_eq!(spec.update_strategy(), UpdateStrategy::Recreate);
    assert_eq!(spec.request_timeout(), Duration::from_secs(600));
    assert_eq!(spec.storage_type(), StorageType::Pvc);
    assert_eq!(spec.storage_access_mode(), StorageAccessMode::ReadWriteOnce);
    assert_eq!(spec.resources.gpu.accelerator(), Accelerator::Nvidia);
    assert!(spec.external_enabled() && spec.internal_enabled() && spec.fetches_weights());
    assert!(!spec.monitoring_enabled());
}

#[test]
fn an_endpoint_is_disabled_only_by_saying_so() {
    let spec = with("endpoints: {external: {enabled: false}, internal: {}}");
    assert!(!spec.external_enabled());
    assert!(spec.internal_enabled());
}

#[test]
fn a_request_timeout_is_never_longer_than_a_day() {
    for (text, seconds) in
        [("90s", 90), ("1h30m", 5400), ("1500ms", 1), ("0s", 86_400), ("99999h", 86_400)]
    {
        let spec = with(&format!("endpoints: {{requestTimeout: {text}}}"));
        assert_eq!(spec.request_timeout().as_secs(), seconds, "{text}");
    }
}

#[test]
fn weights_of_an_image_are_copied_unless_it_is_mounted() {
    let oci = |storage| {
        spec(&format!(
            "model: {{name: a, source: oci, image: b{storage}}}\n\
             resources: {{gpu: {{count: 0}}}}\naccess: {{public: true}}"
        ))
    };
    for (storage, kind, fetches) in [
        ("", StorageType::EmptyDir, true),
        (", storage: {type: pvc, size: 1Gi}", StorageType::EmptyDir, true),
        (", storage: {type: image}", StorageType::Image, false),
    ] {
        let spec = oci(storage);
        assert_eq!((spec.storage_type(), spec.fetches_weights()), (kind, fetches), "{storage}");
    }
}

#[test]
fn weights_on_a_claim_are_not_fetched() {
    let spec = spec(
        "model: {name: a, source: pvc, storage: {claimName: b}}\n\
         resources: {gpu: {count: 1}}\naccess: {public: true}",
    );
    assert_eq!(spec.storage_type(), StorageType::Pvc);
    assert!(!spec.fetches_weights());
}

#[test]
fn numbers_that_an_older_schema_let_through_are_read_and_make_sense() {
    let mut spec = with("serving: {replicas: -3}");
    spec.resources.gpu.count = -1;
    assert_eq!(spec.replicas(), 0);
    assert_eq!(spec.resources.gpu.count(), 0);
}

#[test]
fn an_unknown_type_of_gpu_counts_as_nvidia() {
    for (text, expected, is_known) in [
        ("nvidia", Accelerator::Nvidia, true),
        ("amd", Accelerator::Amd, true),
        ("a100", Accelerator::Nvidia, false),
        ("", Accelerator::Nvidia, false),
    ] {
        let mut spec = with("");
        spec.resources.gpu.kind = text.into();
        assert_eq!(spec.resources.gpu.accelerator(), expected, "{text}");
        assert_eq!(spec.resources.gpu.known_accelerator().is_some(), is_known, "{text}");
    }
}

#[test]
fn all_ids_of_a_model_are_its_own_first() {
    let spec = with("aliases: [b, c]");
    assert_eq!(spec.model_ids().collect::<Vec<_>>(), ["a/b", "b", "c"]);
}

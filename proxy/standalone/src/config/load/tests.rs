use super::*;
use llm_contract::CredentialHeader;
use std::fs;
use tempfile::TempDir;

const MODEL: &str = "id: m, endpoints: ['http://h:1'], access: {public: true}";
const PROVIDER: &str = "name: p, url: 'https://h', catchAll: true, access: {public: true}";

fn folder(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gateway.yaml"), text).unwrap();
    folder
}

fn load_in(folder: &TempDir) -> Result<LoadedConfig, ConfigErrors> {
    let environment = |name: &str| (name == "VLLM_API_KEY").then(|| " sk-engine\n".to_owned());
    load(&folder.path().join("gateway.yaml"), &environment)
}

/// The errors, without the folder's name.
fn errors(folder: &TempDir) -> String {
    let text = load_in(folder).unwrap_err().to_string();
    text.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn secrets_are_read_from_their_files_and_variables_and_trimmed() {
    let folder = folder(&format!(
        "models: [{{{MODEL}, apiKey: {{env: VLLM_API_KEY}}}}]\n\
         providers: [{{{PROVIDER}, credential: {{file: p.key, header: x-api-key}}}}]\n"
    ));
    fs::write(folder.path().join("p.key"), "sk-provider\n").unwrap();
    let LoadedConfig { config, files } = load_in(&folder).unwrap();
    assert_eq!(config.models[0].api_key, Some(Secret::new("sk-engine")));
    let credential = (CredentialHeader::XApiKey, Secret::new("sk-provider"));
    assert_eq!(config.providers[0].credential, Some(credential));
    assert_eq!(files, [folder.path().join("gateway.yaml"), folder.path().join("p.key")]);
}

#[test]
fn missing_files_and_variables_are_named_with_their_lines() {
    let folder = folder(&format!(
        "tls: {{certificate: tls.crt, key: tls.key}}\n\
         models: [{{{MODEL}, apiKey: {{env: NOBODY}}}}]\n\
         providers: [{{{PROVIDER}, credential: {{file: p.key}}, ca: {{file: ca.pem}}}}]\n"
    ));
    fs::write(folder.path().join("tls.key"), "-----BEGIN PRIVATE KEY-----").unwrap();
    fs::write(folder.path().join("p.key"), "\n").unwrap();
    fs::write(folder.path().join("ca.pem"), "no PEM").unwrap();
    insta::assert_snapshot!(errors(&folder), @r"
    gateway.yaml:1: tls.certificate: the file tls.crt does not exist
    gateway.yaml:2: models[0].apiKey: the environment variable `NOBODY` is not set
    gateway.yaml:3: providers[0].credential: the file p.key is empty or has characters that a header cannot have
    gateway.yaml:3: providers[0].ca: the file ca.pem has no PEM certificate
    ");
}

#[test]
fn a_secret_is_in_no_debug_output() {
    let folder = folder(&format!("models: [{{{MODEL}, apiKey: {{env: VLLM_API_KEY}}}}]\n"));
    assert!(!format!("{:?}", load_in(&folder).unwrap()).contains("sk-engine"));
}

#[test]
fn a_file_that_is_too_large_or_not_text_is_refused() {
    let folder = folder("");
    let file = folder.path().join("gateway.yaml");
    fs::write(&file, "#".repeat(10 << 20)).unwrap();
    assert_eq!(errors(&folder), "gateway.yaml: the file is larger than 1048576 bytes");
    fs::write(&file, [0xff, 0xfe]).unwrap();
    assert_eq!(errors(&folder), "gateway.yaml: the file is not UTF-8 text");
    fs::remove_file(&file).unwrap();
    assert_eq!(errors(&folder), "gateway.yaml: the file does not exist");
}

#[test]
fn the_data_folder_is_known_without_any_secret() {
    let folder =
        folder(&format!("dataDir: kept\nmodels: [{{{MODEL}, apiKey: {{env: NOBODY}}}}]\n"));
    let kept = data_dir(&folder.path().join("gateway.yaml")).unwrap();
    assert_eq!(kept, folder.path().join("kept"));
}

#[test]
fn the_data_folder_is_known_while_a_model_is_edited_and_not_guessed_otherwise() {
    let dir = |text: &str| {
        let folder = folder(text);
        let dir = data_dir(&folder.path().join("gateway.yaml"));
        dir.map(|dir| dir.strip_prefix(folder.path()).unwrap().display().to_string())
    };
    assert_eq!(dir("dataDir: kept\nmodels: [{idd: x}]\n").unwrap(), "kept");
    assert_eq!(dir("models: [7]\n").unwrap(), "data");
    for text in ["", "datadir: kept\n", "dataDir: 7\n", "models: [\n"] {
        assert!(dir(text).is_err(), "{text}");
    }
}

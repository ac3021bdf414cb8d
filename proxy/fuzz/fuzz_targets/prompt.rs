//! Whatever a stranger sends: no panic, and what we change we can still read.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use llm_proxy::body::multipart::InvalidForm;
use llm_proxy::body::edits::BodyEdits;
use llm_proxy::stage::read::scan::{InvalidPrompt, UsageReporting, form, json};

const FORM_TYPE: &str = "multipart/form-data; boundary=b";

fuzz_target!(|body: &[u8]| {
    for read in [|body: &[u8]| json(body), |body: &[u8]| form(body, FORM_TYPE)] {
        let Ok(scan) = read(body) else { continue };
        let mut edits = BodyEdits::default();
        scan.rename_model("another", &mut edits);
        scan.request_usage(UsageReporting::Continuous, &mut edits);
        let changed = match read(&edits.apply(&Bytes::copy_from_slice(body))) {
            // The fields we add to a form may be more than we take from a client.
            Err(InvalidPrompt::Form(InvalidForm::TooManyParts)) => continue,
            changed => changed.expect("still a prompt"),
        };
        assert_eq!((changed.model.as_str(), changed.stream), ("another", scan.stream));
        assert!(!scan.stream || changed.usage == UsageReporting::Continuous);
    }
});

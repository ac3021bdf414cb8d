//! The banner of a gateway that has started.

use crate::config::Listen;
use llm_contract::{ModelId, SecretKey};
use llm_proxy::app::admin_client::local_address;
use std::{
    io::{self, Write},
    path::Path,
};

/// As many models are named.
const MODELS_MAX: usize = 5;

pub struct Banner<'a> {
    /// The addresses with the ports that were bound.
    pub listen: Listen,
    pub is_tls: bool,
    pub models: &'a [&'a ModelId],
    /// The key created at the first start, which is shown here and never again.
    pub key: Option<&'a SecretKey>,
    /// The data folder, if `llm-gateway keys` would not find it without an option.
    pub data_dir: Option<&'a Path>,
}

impl Banner<'_> {
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { listen, is_tls, models, key, data_dir } = self;
        let scheme = if *is_tls { "https" } else { "http" };
        let base = format!("{scheme}://{}/v1", local_address(listen.external));
        writeln!(out, "llm-gateway is ready\n")?;
        writeln!(out, "  base URL  {base}")?;
        if let Some(internal) = listen.internal.map(local_address) {
            writeln!(out, "  internal  {scheme}://{internal}/v1  (for OIDC tokens)")?;
        }
        let admin = local_address(listen.admin);
        writeln!(out, "  admin     http://{admin}  (/healthz /readyz /metrics /explain)")?;
        writeln!(out, "  models    {}", named(models))?;
        match key {
            Some(key) => writeln!(out, "  key       {}  (shown only once)", key.reveal())?,
            None => {
                let folder = data_dir.map(|folder| format!(" --data-dir {}", folder.display()));
                let folder = folder.unwrap_or_default();
                let create = "llm-gateway keys create --name NAME";
                writeln!(out, "  key       create one with: {create}{folder}")?;
            }
        }
        let secret = key.map_or("$KEY", SecretKey::reveal);
        // In double quotes a shell replaces `$KEY`.
        let quote = if key.is_some() { '\'' } else { '"' };
        let model = models.first().map_or("MODEL", |model| model.as_str()).replace('\'', r"'\''");
        writeln!(out, "\nTry it:\n")?;
        writeln!(out, "  curl -N {base}/chat/completions \\")?;
        writeln!(
            out,
            "    -H {quote}Authorization: Bearer {secret}{quote} \
             -H 'Content-Type: application/json' \\"
        )?;
        writeln!(
            out,
            r#"    -d '{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "Hello!"}}]}}'"#
        )?;
        writeln!(out)?;
        out.flush()
    }
}

fn named(models: &[&ModelId]) -> String {
    let first: Vec<_> = models.iter().take(MODELS_MAX).map(|model| model.as_str()).collect();
    match models.len().saturating_sub(MODELS_MAX) {
        _ if models.is_empty() => "none yet".to_owned(),
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(listen: Listen, is_tls: bool, models: &[&str]) -> String {
        let models: Vec<_> = models.iter().map(|id| ModelId::parse(id).unwrap()).collect();
        let models: Vec<_> = models.iter().collect();
        let mut out = Vec::new();
        Banner { listen, is_tls, models: &models, key: None, data_dir: None }
            .print(&mut out)
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    fn listen(external: &str) -> Listen {
        Listen { external: external.parse().unwrap(), internal: None, admin: Listen::ADMIN }
    }

    #[test]
    fn a_gateway_on_all_addresses_is_reached_from_this_machine() {
        for (address, base) in [
            ("0.0.0.0:8080", "  base URL  http://127.0.0.1:8080/v1\n"),
            ("[::]:8080", "  base URL  http://[::1]:8080/v1\n"),
            ("10.0.0.5:8080", "  base URL  http://10.0.0.5:8080/v1\n"),
        ] {
            let text = printed(listen(address), false, &["m"]);
            assert!(text.contains(base), "{text}");
        }
    }

    #[test]
    fn a_gateway_with_a_certificate_speaks_https_but_for_its_admin_address() {
        let text = printed(listen("127.0.0.1:8443"), true, &["m"]);
        assert!(text.contains("curl -N https://127.0.0.1:8443/v1/chat/completions"), "{text}");
        assert!(text.contains("  admin     http://127.0.0.1:9090 "), "{text}");
    }

    #[test]
    fn the_data_folder_is_named_if_it_would_not_be_found() {
        let make = |data_dir| {
            let listen = listen("127.0.0.1:1");
            let banner = Banner { listen, is_tls: false, models: &[], key: None, data_dir };
            let mut out = Vec::new();
            banner.print(&mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            text.lines().find(|line| line.contains("keys create")).unwrap().to_owned()
        };
        assert!(make(None).ends_with("keys create --name NAME"), "{}", make(None));
        let other = make(Some(Path::new("other")));
        assert!(other.ends_with("keys create --name NAME --data-dir other"), "{other}");
    }

    #[test]
    fn only_some_of_many_models_are_named() {
        let text = printed(listen("127.0.0.1:1"), false, &["a", "b", "c", "d", "e", "f", "g"]);
        assert!(text.contains("  models    a, b, c, d, e and 2 more\n"), "{text}");
        let text = printed(listen("127.0.0.1:1"), false, &[]);
        assert!(text.contains("  models    none yet\n"), "{text}");
    }

    #[test]
    fn text_that_a_shell_would_interpret_is_quoted() {
        let text = printed(listen("127.0.0.1:1"), false, &["it's"]);
        assert!(text.contains(r#""model": "it'\''s""#), "{text}");
        assert!(text.contains(r#"-H "Authorization: Bearer $KEY""#), "{text}");
    }
}

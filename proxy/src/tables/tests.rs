use super::*;

fn tables_of(text: &str) -> Tables {
    let tables = Tables::empty();
    tables.update(table(text));
    tables
}

fn table(routes: &str) -> Table {
    let text = format!(
        r#"{{"version": 1, "providers": [{{"name": "p", "url": "https://p.example/v1"}}],
            "routes": [{routes}]}}"#
    );
    Table::parse(text.as_bytes()).unwrap()
}

const SERVED: &str = r#"{"model": "m", "aliases": ["alias"], "access": {"public": true},
    "upstream": {"served": {"endpoints": ["http://10.0.0.5:8000"], "model": "m"}}}"#;
const PROVIDER: &str = r#"{"model": "m", "access": {"public": true},
    "upstream": {"provider": {"name": "p", "model": "theirs"}}}"#;
const CATCH_ALL: &str = r#"{"access": {"public": true}, "upstream": {"provider": {"name": "p"}}}"#;

#[test]
fn a_served_model_wins_over_a_provider_s_and_that_over_a_catch_all() {
    let owner = |routes: &str, model: &str| {
        tables_of(routes)
            .snapshot()
            .route(model)
            .map(|it| (it.owner().to_owned(), it.label.clone()))
    };
    let both = format!("{PROVIDER}, {SERVED}, {CATCH_ALL}");
    assert_eq!(owner(&both, "m"), Some(("vllm".into(), "m".into())));
    let some = format!("{CATCH_ALL}, {PROVIDER}");
    assert_eq!(owner(&some, "m"), Some(("p".into(), "m".into())));
    assert_eq!(owner(&some, "other"), Some(("p".into(), "*".into())));
    assert_eq!(owner(PROVIDER, "other"), None);
}

#[test]
fn an_alias_leads_to_the_id_the_upstream_knows() {
    let tables = tables_of(SERVED);
    let snapshot = tables.snapshot();
    assert_eq!(snapshot.route("alias").unwrap().upstream_model("alias"), "m");
    let provider = tables_of(PROVIDER);
    assert_eq!(provider.snapshot().route("m").unwrap().upstream_model("m"), "theirs");
    let catch_all = tables_of(CATCH_ALL);
    assert_eq!(catch_all.snapshot().route("x").unwrap().upstream_model("x"), "x");
}

#[test]
fn a_model_that_is_shadowed_is_listed_once() {
    let tables = tables_of(&format!("{PROVIDER}, {SERVED}, {CATCH_ALL}"));
    let listed: Vec<_> = tables.snapshot().listed.iter().map(|it| it.label.clone()).collect();
    assert_eq!(listed, ["m".into()]);
}

#[test]
fn a_swap_forgets_neither_what_runs_nor_how_an_endpoint_is_doing() {
    let tables = tables_of(SERVED);
    let before = tables.snapshot();
    let entry = before.route("m").unwrap();
    let _running = entry.running.enter(None);
    for _ in 0..crate::balance::health::FAILURES_MAX {
        entry.endpoints[0].state.health.failed(crate::clock::now());
    }
    tables.update(table(&format!("{SERVED}, {CATCH_ALL}")));
    let after = tables.snapshot();
    let entry = after.route("m").unwrap();
    assert_eq!(entry.running.running(), 1);
    assert!(!entry.endpoints[0].state.health.is_ready());
}

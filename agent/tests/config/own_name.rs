//! `issuer.own_name`: which vendors know it, in which form, and what is missing.

use crate::Root;
use signpost_core::issuer::OwnName;

/// A client that can prove itself, at this profile.
fn at(profile: &str, rest: &str) -> Root {
    Root::with(format!(
        "[issuer]\nprofile = \"{profile}\"\nurl = \"https://idp.example.com/x\"\nclient_id = \"signpost\"\n\
         client_secret_file = \"/s\"\nown_name = true\n{rest}"
    ))
}

fn asked(root: &Root) -> OwnName {
    root.load().unwrap().config.issuer.own_name.unwrap()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[test]
fn each_vendor_is_asked_in_its_own_form() {
    let backend = "https://t.example";
    let scopes = "own_scopes = [\"telemetry.write\"]\n";
    let generic = at("generic", &format!("{scopes}own_resource = \"{backend}\""));
    let expected = OwnName {
        scopes: words(&["telemetry.write"]),
        resource: Some(backend.into()),
        audience: None,
    };
    assert_eq!(asked(&generic), expected);
    let telemetry = format!("{scopes}[telemetry]\nresource = \"{backend}\"");
    assert_eq!(asked(&at("keycloak", &telemetry)), expected, "the backend's own is meant");
    let entra = at("entra", "own_resource = \"api://6\"");
    let expected = OwnName { scopes: words(&["api://6/.default"]), ..OwnName::default() };
    assert_eq!(asked(&entra), expected);
    let auth0 = at("auth0", "audience = \"https://t.example\"");
    assert_eq!(asked(&auth0), OwnName { audience: Some(backend.into()), ..OwnName::default() });
    assert_eq!(asked(&at("okta", scopes)).scopes, ["telemetry.write"]);
}

#[test]
fn what_a_vendor_does_not_have_or_a_client_cannot_do_is_refused_in_one_line() {
    for (profile, rest, key, says) in [
        ("google", "", "issuer.own_name", "Google knows no client_credentials; leave it out"),
        ("github", "", "issuer.own_name", "GitHub gives OAuth Apps no tokens of their own"),
        ("generic", "auth = \"none\"", "issuer.own_name", "a client that proves itself"),
        ("entra", "", "issuer.own_resource", "missing; Entra gives"),
        ("auth0", "", "issuer.own_audience", "missing; Auth0 gives"),
    ] {
        let error = at(profile, rest).error();
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
        assert!(error.contains(key) && error.contains(says), "{profile}: {error}");
    }
}

#[test]
fn what_is_not_used_is_said() {
    let text = "[issuer]\nurl = \"https://a.example\"\nclient_id = \"x\"\nown_scopes = [\"a\"]\n";
    let loaded = Root::with(text).load().unwrap();
    assert_eq!(loaded.config.issuer.own_name, None);
    let warning = loaded.warnings.first().unwrap().to_string();
    assert!(warning.contains("issuer.own_scopes") && warning.contains("own_name"), "{warning}");
}

//! One oidc-provider, and an agent for each way in which a client can prove itself to it.

use std::fs;

use rcgen::{CertificateParams, KeyPair};

use super::agent::Agent;
use super::parts::{ACCOUNT, Issuer, Person, Stage};
use super::running::until;

/// The secret of "basic", "post" and "own" in `server.mjs`: Basic has to encode it.
pub(crate) const SECRET: &str = "a secret, with : and % in it";

/// Each client of `server.mjs` and what it is configured by.
const CLIENTS: [(&str, &str); 7] = [
    ("signpost", ""),
    ("basic", "client_secret_file = SECRET"),
    ("post", "client_secret_file = SECRET\nauth = \"secret-post\""),
    ("es256", "private_key_file = KEYS/es256.pem"),
    ("rs256", "private_key_file = KEYS/rs256.pem"),
    (
        "mtls",
        "auth = \"mtls\"\nprivate_key_file = KEYS/mtls-key.pem\ncertificate_file = KEYS/mtls.pem",
    ),
    ("dpop", "dpop = true"),
];

/// The one of them whose flash is turned back.
const REPLAYING: usize = 2;

/// The key that signs RS256, which no library here makes.
const RSA: &str = include_str!("../../../agent/tests/keys/rsa.pem");

fn write_keys(stage: &Stage) {
    fs::create_dir(stage.path("keys")).unwrap();
    let es256 = KeyPair::generate().unwrap();
    let mtls = KeyPair::generate().unwrap();
    let certificate = CertificateParams::default().self_signed(&mtls).unwrap();
    for (name, text) in [
        ("keys/es256.pem", es256.serialize_pem()),
        ("keys/rs256.pem", RSA.to_owned()),
        ("keys/mtls-key.pem", mtls.serialize_pem()),
        ("keys/mtls.pem", certificate.pem()),
        ("secret", SECRET.to_owned()),
    ] {
        stage.write(name, &text);
    }
}

pub(crate) fn every_kind_of_client_signs_in_renews_and_signs_out() {
    let stage = Stage::set();
    write_keys(&stage);
    let issuer = Issuer::start_with(&stage, &["--keys", stage.path("keys").to_str().unwrap()]);
    let mut agents = CLIENTS.map(|(client, auth)| {
        let keys = stage.path("keys");
        let auth = auth.replace("SECRET", &format!("{:?}", stage.path("secret")));
        let auth = auth.lines().map(|line| match line.split_once("KEYS/") {
            Some((key, file)) => format!("{key}{:?}\n", keys.join(file)),
            None => format!("{line}\n"),
        });
        (client, Agent::start_as(&stage, &issuer, client, &auth.collect::<String>()))
    });
    for (_, agent) in &agents {
        Person::follows_the_pages(&stage, &agent.wait_for_code());
    }
    agents[REPLAYING].1.wait_for("online");
    let flash = agents[REPLAYING].1.copy_flash();
    for (client, agent) in &agents {
        agent.wait_for("online");
        until(&format!("a refresh of {client}"), 30, || issuer.has_refreshed(client).then_some(()));
    }
    // A token that was replaced, used again, ends the sign-in there: the agent asks for another.
    let (replaying, agent) = &mut agents[REPLAYING];
    agent.start_again_with(&flash);
    agent.wait_for("waiting");
    assert_eq!(issuer.revocations(replaying), 1);
    agent.sign_in();
    Person::follows_the_pages(&stage, &agent.wait_for_code());
    agent.wait_for("online");

    // What was given to the device's key is of use with a proof, and the provider checks it.
    let (_, bound) = agents.iter().find(|(client, _)| *client == "dpop").unwrap();
    assert!(issuer.is_bound("dpop"));
    Person::uses_a_bound_token(&stage, &bound.token_socket(), &issuer);

    for (client, agent) in &agents {
        let before = issuer.revocations(client);
        agent.sign_out();
        until(&format!("the revocation of {client}"), 20, || {
            (issuer.revocations(client) > before).then_some(())
        });
        agent.assert_silent_about(&[ACCOUNT, SECRET, "PRIVATE", "client_assertion"]);
    }
    assert_eq!(issuer.unexpected(), Vec::<String>::new());
}

//! The page on which a person answers a device's code (RFC 8628 section 3.3). It needs no script.
//!
//! Whether the code was typed or came in the address, it is shown and has to be confirmed before
//! anything is granted (sections 3.3.1 and 5.4: somebody may have sent the link).

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State as Shared};
use axum::http::header;
use axum::routing::{get, post};
use maud::{Markup, html};

use super::{frame, mark};
use crate::issuer::Asked;
use crate::issuer::device::{Answer, CodeError};
use crate::reply::Reply;
use crate::sandbox::{State, World};

pub(crate) fn router() -> Router<Arc<World>> {
    Router::new()
        .route("/", get(async || Reply::empty(303).header(header::LOCATION, "/device")))
        .route("/device", get(show))
        .route("/device/answer", post(answer))
        .merge(super::assets())
}

async fn show(Shared(world): Shared<Arc<World>>, RawQuery(query): RawQuery) -> Reply {
    let asked = Asked::read(query.unwrap_or_default().as_bytes(), None);
    let Some(typed) = asked.get("user_code") else { return ask_for_code("", None) };
    world.with(|state, now| match state.issuer.find_code(typed, now) {
        Ok(flow) => {
            let ticket = flow.ticket.clone();
            confirm(state, &ticket, None)
        }
        Err(error) => refused(typed, error),
    })
}

async fn answer(Shared(world): Shared<Arc<World>>, body: Bytes) -> Reply {
    let asked = Asked::read(&body, None);
    let ticket = asked.get("ticket").unwrap_or_default();
    world.with(|state, now| {
        let Some((flow, answered)) = state.issuer.find_ticket(ticket) else {
            return refused("", CodeError::Unknown);
        };
        let code = flow.user_code.clone();
        // The same answer sent again, by a reload, shows the same end.
        if answered.is_none() {
            let done = match (asked.get("answer"), asked.get("account")) {
                (Some("deny"), _) => state.issuer.deny(&code, now),
                (Some("approve"), Some(subject)) => state.issuer.approve(&code, subject, now),
                _ => return confirm(state, ticket, Some("Choose an account first.")),
            };
            match done {
                Ok(()) => {}
                Err(CodeError::Account) => {
                    return confirm(state, ticket, Some("This account is locked. Choose another."));
                }
                Err(error) => return refused(&code, error),
            }
        }
        end(state, ticket)
    })
}

fn ask_for_code(typed: &str, wrong: Option<&str>) -> Reply {
    let status = if wrong.is_some() { 400 } else { 200 };
    let content = html! {
        h1 { "Connect a device" }
        p.lead { "Type the code that your device shows." }
        form.fill method="get" action="/device" {
            div {
                label for="code" { "Code" }
                input #code.code-field name="user_code" type="text" value=(typed) required
                    maxlength="32" autocomplete="off" autocapitalize="characters"
                    spellcheck="false" enterkeyhint="go" autofocus
                    aria-describedby="hint" aria-invalid=[wrong.map(|_| "true")];
                p #hint.hint { "Capitals and dashes do not matter." }
                @if let Some(wrong) = wrong {
                    p.alert role="alert" { (wrong) }
                }
            }
            div.actions { button.primary type="submit" { "Continue" } }
        }
    };
    Reply::page(status, card("Connect a device", content))
}

fn refused(typed: &str, error: CodeError) -> Reply {
    match error {
        CodeError::Unknown | CodeError::Account => ask_for_code(
            typed,
            Some("No device shows this code. Compare it letter by letter with the display."),
        ),
        CodeError::Expired => ending(
            410,
            Ending::Over,
            "This code is too old",
            html! { "Your device shows a new one, or will when you start again. Type that one." },
        ),
        CodeError::Answered => ending(
            410,
            Ending::Over,
            "This code was used already",
            html! { "If your device still waits, type the code that it shows now." },
        ),
        CodeError::TooMany => ending(
            429,
            Ending::Over,
            "Too many wrong codes",
            html! { "Wait a minute, then look at your device again." },
        ),
    }
}

fn confirm(state: &State, ticket: &str, missing: Option<&str>) -> Reply {
    let issuer = &state.issuer;
    let Some((flow, _)) = issuer.find_ticket(ticket) else {
        return refused("", CodeError::Unknown);
    };
    let client = issuer.client_name(&flow.client_id);
    let spelled = flow.user_code.chars().map(String::from).collect::<Vec<_>>().join(" ");
    let content = html! {
        h1 { "Is this your device?" }
        p.lead { strong { (client) } " wants to act for you. It must show this very code:" }
        p.code-shown role="img" aria-label={ "Code " (spelled) } { (flow.user_code) }
        form.fill method="post" action="/device/answer" {
            input type="hidden" name="ticket" value=(ticket);
            fieldset {
                legend { "Sign in as" }
                @for (index, account) in issuer.accounts().iter().enumerate() {
                    label.account {
                        input type="radio" name="account" value=(account.subject) required
                            checked[index == 0];
                        span.avatar aria-hidden="true" data-tint=(index % 4) {
                            (initials(&account.name))
                        }
                        span.who {
                            span.name { (account.name) }
                            span.detail { (account.email) br; (account.tenant) }
                        }
                    }
                }
            }
            @if let Some(missing) = missing {
                p.alert role="alert" { (missing) }
            }
            h2.small { "It will be able to" }
            ul.allowed {
                @for line in allowed(&flow.scope) { li { (line) } }
            }
            p.warning {
                "Did somebody send you this link or code? Then it is "
                strong { "not" } " your device: say no."
            }
            div.actions {
                button.primary type="submit" name="answer" value="approve" { "Yes, sign it in" }
                button.secondary type="submit" name="answer" value="deny" formnovalidate {
                    "No, stop"
                }
            }
        }
    };
    let status = if missing.is_some() { 400 } else { 200 };
    Reply::page(status, card("Is this your device?", content))
}

fn end(state: &State, ticket: &str) -> Reply {
    match state.issuer.find_ticket(ticket) {
        Some((flow, Some(Answer::Approved { subject }))) => {
            let client = state.issuer.client_name(&flow.client_id);
            let name = state.issuer.account(subject).map_or("", |account| account.name.as_str());
            let text = html! {
                strong { (client) } " now acts for " strong { (name) }
                ". It shows so in a moment. You can close this page."
            };
            ending(200, Ending::Done, "Done", text)
        }
        Some((_, Some(Answer::Denied))) => {
            let text = html! { "The device was not signed in. You can close this page." };
            ending(200, Ending::Stopped, "Stopped", text)
        }
        Some((_, None)) | None => refused("", CodeError::Unknown),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Done,
    Stopped,
    Over,
}

fn ending(status: u16, how: Ending, title: &str, text: Markup) -> Reply {
    let (class, shape) = match how {
        Ending::Done => ("done", "M14 25l8 8 14-17"),
        Ending::Stopped => ("stopped", "M17 17l16 16M33 17L17 33"),
        Ending::Over => ("over", "M25 14v12l8 5"),
    };
    let content = html! {
        div.ending role="status" data-end=(class) {
            svg viewBox="0 0 50 50" width="96" height="96" aria-hidden="true" {
                circle cx="25" cy="25" r="22" {}
                path d=(shape) {}
            }
            h1 tabindex="-1" autofocus { (title) }
            p.lead { (text) }
        }
        @if how == Ending::Over {
            div.actions { a.button.primary href="/device" { "Type another code" } }
        }
    };
    Reply::page(status, card(title, content))
}

fn card(title: &str, content: Markup) -> String {
    frame(
        title,
        html! {},
        html! {
            header.brand { (mark()) span { "Signpost sandbox" } }
            main.card { (content) }
            footer.note { "A practice server: these people are made up and need no password." }
        },
    )
}

/// Scopes in a person's words.
fn allowed(scope: &str) -> impl Iterator<Item = &str> {
    scope.split(' ').filter(|scope| !matches!(*scope, "" | "profile" | "email")).map(|scope| {
        match scope {
            "openid" => "see your name and address",
            "offline_access" => "stay signed in until you remove it",
            "telemetry.write" => "send telemetry in your name",
            other => other,
        }
    })
}

fn initials(name: &str) -> String {
    name.split(' ').filter_map(|part| part.chars().next()).take(2).collect()
}

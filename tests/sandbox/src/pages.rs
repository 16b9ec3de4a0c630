//! What people see: the frame around every page, its style and its one script.

pub(crate) mod live;
pub(crate) mod sign_in;

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::reply::Reply;
use crate::sandbox::World;

const STYLE: &str = include_str!("pages/style.css");
const SCRIPT: &str = include_str!("pages/live.js");
const ICON: &str = include_str!("pages/icon.svg");

/// Style, script and icon, which every page links to.
pub(crate) fn assets() -> Router<Arc<World>> {
    let asset = |mime: &'static str, text: &'static str| {
        get(async move || Reply::new(200, mime, text).header(header::CACHE_CONTROL, "no-cache"))
    };
    Router::new()
        .route("/style.css", asset("text/css; charset=utf-8", STYLE))
        .route("/live.js", asset("text/javascript; charset=utf-8", SCRIPT))
        .route("/icon.svg", asset("image/svg+xml", ICON))
}

/// A whole page. `head` joins what every page has.
fn frame(title: &str, head: Markup, body: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " – Signpost sandbox" }
                link rel="icon" type="image/svg+xml" href="/icon.svg";
                link rel="stylesheet" href="/style.css";
                (head)
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// The mark beside the name; the text says the same.
fn mark() -> Markup {
    html! { span.mark aria-hidden="true" { (PreEscaped(ICON)) } }
}

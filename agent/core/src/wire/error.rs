//! What an error reply says beyond its code: what the issuer's support asks for, and no more.
//!
//! A description may name a person, so it is left out; what is kept is short and made of harmless
//! characters, or left out too.

use super::{Members, OAuthError};
use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;
use serde_json::Value;

/// How many of an error's numbers are kept.
const MAX_CODES: usize = 4;

/// Longest id that is kept: a UUID has 36 characters.
const MAX_ID: usize = 64;

/// Longest address of a page, and of the query in it, that are kept.
const MAX_PAGE: usize = 200;
const MAX_QUERY: usize = 32;

/// `error_codes`: Entra's numbers. Where a proxy has dropped them, its description begins with the
/// first.
pub(super) fn codes(members: &Members) -> Vec<u32> {
    let listed = members.0.get("error_codes").and_then(Value::as_array);
    let number = |value: &Value| u32::try_from(value.as_u64()?).ok();
    let mut codes: Vec<u32> =
        listed.into_iter().flatten().take(MAX_CODES).filter_map(number).collect();
    if codes.is_empty() {
        let told = members.text(&["error_description"]).and_then(|it| it.strip_prefix("AADSTS"));
        let digits = told.and_then(|it| it.split(|c: char| !c.is_ascii_digit()).next());
        codes.extend(digits.and_then(|digits| digits.parse::<u32>().ok()));
    }
    codes
}

/// The id in member `name`.
pub(super) fn id(members: &Members, name: &str) -> Option<Box<str>> {
    let is_harmless = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
    let id = members.text(&[name])?;
    (id.len() <= MAX_ID && id.bytes().all(is_harmless)).then(|| id.into())
}

/// `error_uri` (RFC 6749 section 5.2), without fragment and without a query that could hold more
/// than an error's number.
pub(super) fn page(members: &Members) -> Option<Box<str>> {
    let is_harmless = |b: u8| b.is_ascii_alphanumeric() || b"-_.~:/?=%".contains(&b);
    let uri = members.text(&["error_uri"])?.split('#').next()?;
    let uri = match uri.split_once('?') {
        Some((page, query)) if query.len() > MAX_QUERY => page,
        Some(_) | None => uri,
    };
    let kept = uri.starts_with("https://") && uri.len() <= MAX_PAGE && uri.bytes().all(is_harmless);
    kept.then(|| uri.into())
}

impl OAuthError {
    /// The first of [`OAuthError::codes`] as the vendor's pages name it: `AADSTS50196`.
    #[must_use]
    pub fn number(&self) -> Option<String> {
        self.codes.first().map(|code| ["AADSTS", &code.to_string()].concat())
    }
}

/// One line: the code and, in parentheses, what else tells what happened and which request it was.
impl fmt::Display for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        let named = |name: &str, text: &Option<Box<str>>| {
            text.as_ref().map(|text| [name, " ", text].concat())
        };
        let more = [
            self.suberror.clone(),
            self.number(),
            named("correlation id", &self.correlation),
            named("trace id", &self.trace),
            named("see", &self.uri),
        ];
        let more: Vec<String> = more.into_iter().flatten().collect();
        if more.is_empty() { Ok(()) } else { write!(f, " ({})", more.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn error(rest: &str) -> OAuthError {
        let body = format!(r#"{{"error":"invalid_grant"{rest}}}"#);
        Members::parse(body.as_bytes()).and_then(|members| members.error()).expect("an error")
    }

    #[test]
    fn what_support_asks_for_is_kept_and_the_description_is_not() {
        let entra = error(
            r#","error_description":"AADSTS53003: anna@acme.example is blocked. Trace ID: t-1",
               "error_codes":[53003],"suberror":"message_only","timestamp":"2026-11-26 17:00:00Z",
               "trace_id":"0000aaaa-11bb-cccc-dd22-eeeeee333333",
               "correlation_id":"aaaa0000-bb11-2222-33cc-444444dddddd",
               "error_uri":"https://login.microsoftonline.com/error?code=53003""#,
        );
        assert_eq!(entra.codes, [53_003]);
        assert_eq!(entra.trace.as_deref(), Some("0000aaaa-11bb-cccc-dd22-eeeeee333333"));
        assert_eq!(
            format!("{entra}"),
            "invalid_grant (message_only, AADSTS53003, \
             correlation id aaaa0000-bb11-2222-33cc-444444dddddd, \
             trace id 0000aaaa-11bb-cccc-dd22-eeeeee333333, \
             see https://login.microsoftonline.com/error?code=53003)"
        );
        assert!(!format!("{entra:?}").contains("anna"));
        assert_eq!(format!("{}", error("")), "invalid_grant");
    }

    #[test]
    fn what_is_long_or_not_harmless_is_left_out() {
        let long = "x".repeat(MAX_ID + 1);
        for id in [long.as_str(), "a b", "a\\nb", "<b>", "a,b", "\\u001b[2J", ""] {
            let error = error(&format!(r#","correlation_id":"{id}","trace_id":"{id}""#));
            assert_eq!((error.correlation, error.trace), (None, None), "{id}");
        }
        let uri = |uri: &str| error(&format!(r#","error_uri":"{uri}""#)).uri;
        for bad in ["http://idp.example/e", "javascript:alert", "https://u:p@idp.example/", "see"] {
            assert_eq!(uri(bad), None, "{bad}");
        }
        assert_eq!(uri(&format!("https://idp.example/{}", "x".repeat(MAX_PAGE))), None);
        let token = format!("https://idp.example/e?token={}", "x".repeat(43));
        assert_eq!(uri(&token).as_deref(), Some("https://idp.example/e"));
        assert_eq!(uri("https://idp.example/e#rt-1").as_deref(), Some("https://idp.example/e"));
    }

    #[test]
    fn numbers_are_few_and_are_found_where_a_proxy_dropped_the_list() {
        assert_eq!(error(r#","error_codes":[1,2,3,4,5,6]"#).codes, [1, 2, 3, 4]);
        assert_eq!(error(r#","error_codes":["x",-1,1e99]"#).codes, [0; 0]);
        let told = error(r#","error_description":"AADSTS50196: a loop""#);
        assert_eq!(told.number().as_deref(), Some("AADSTS50196"));
        assert_eq!(error(r#","error_description":"AADSTS""#).number(), None);
    }
}

//! A reply as a value, so that faults can bend it before it becomes bytes.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

/// Status, headers and whole body of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![(header::CONTENT_TYPE, content_type.to_owned())];
        Self { status, headers, body: body.into() }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Self::new(status, "application/json", value.to_string())
            .header(header::CACHE_CONTROL, "no-store")
    }

    /// An OAuth error (RFC 6749 section 5.2).
    pub(crate) fn error(status: u16, error: &str, description: &str) -> Self {
        let body = serde_json::json!({ "error": error, "error_description": description });
        Self::json(status, &body)
    }

    /// A page that may load nothing but this server's own style, script and events.
    pub(crate) fn page(status: u16, html: String) -> Self {
        Self::new(status, "text/html; charset=utf-8", html)
            .header(header::CACHE_CONTROL, "no-store")
            .header(
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                 img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            )
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .header(header::REFERRER_POLICY, "no-referrer")
    }

    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Changes fields of a JSON object; any other body stays as it is.
    pub(crate) fn edit(mut self, change: impl FnOnce(&mut Map<String, Value>)) -> Self {
        if let Ok(Value::Object(mut fields)) = serde_json::from_slice(&self.body) {
            change(&mut fields);
            self.body = Value::Object(fields).to_string().into_bytes();
        }
        self
    }

    /// The same fields in `application/x-www-form-urlencoded`, as GitHub answers unless asked.
    pub(crate) fn into_form(mut self) -> Self {
        let Ok(Value::Object(fields)) = serde_json::from_slice(&self.body) else { return self };
        let mut form = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &fields {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            form.append_pair(name, &text);
        }
        self.body = form.finish().into_bytes();
        self.headers.retain(|(name, _)| name != header::CONTENT_TYPE);
        self.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
    }

    /// Status and headers around another body.
    pub(crate) fn with_body(self, body: Body) -> Response {
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            // A fault's text may hold what no header can.
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

impl IntoResponse for Reply {
    fn into_response(mut self) -> Response {
        let body = std::mem::take(&mut self.body);
        self.with_body(Body::from(body))
    }
}

//! The sign-in page.
use crate::sandbox::World;
use axum::Router;
use std::sync::Arc;

pub(crate) fn router() -> Router<Arc<World>> {
    Router::new()
}

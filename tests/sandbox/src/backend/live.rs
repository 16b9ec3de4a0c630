//! The live page.
use super::Delivery;
use crate::clock::Now;
use crate::sandbox::World;
use axum::Router;
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct Live;
impl Live {
    pub(crate) fn show(&mut self, _: &Delivery, _: Now) {}
}

pub(crate) fn router() -> Router<Arc<World>> {
    Router::new()
}

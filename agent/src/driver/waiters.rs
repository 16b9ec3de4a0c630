//! Local programs that wait: for a token, or for flash.

use crate::ports::{Answer, CallerId};
use signpost_core::{
    session::TokenKey,
    time::{Boot, Now},
};
use std::time::Duration;

/// How long a program waits for a token at most.
const PATIENCE: Duration = Duration::from_secs(25);

/// When it should ask again then.
const LATER: Duration = Duration::from_secs(10);

/// How many wait at most.
const MAX_WAITING: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Waiters {
    tokens: Vec<TokenWaiter>,
    savers: Vec<CallerId>,
}

#[derive(Debug)]
struct TokenWaiter {
    caller: CallerId,
    key: TokenKey,
    min_ttl: Duration,
    until: Boot,
}

impl Waiters {
    /// Lets `caller` wait, or answers why not.
    pub(super) fn wait_for_token(
        &mut self,
        caller: CallerId,
        key: TokenKey,
        min_ttl: Duration,
        now: Now,
    ) -> Option<Answer> {
        if self.tokens.len() >= MAX_WAITING {
            return Some(Answer::TryLater(LATER));
        }
        self.tokens.push(TokenWaiter { caller, key, min_ttl, until: now.boot + PATIENCE });
        None
    }

    pub(super) fn wait_for_save(&mut self, caller: CallerId) {
        self.savers.push(caller);
    }

    /// Answers whom `answer` has something for, and those who have waited long enough.
    pub(super) fn answer_tokens(
        &mut self,
        now: Now,
        mut answer: impl FnMut(&TokenKey, Duration) -> Option<Answer>,
    ) -> Vec<(CallerId, Answer)> {
        let mut answers = Vec::new();
        self.tokens.retain(|waiter| {
            let overdue = || (waiter.until <= now.boot).then_some(Answer::TryLater(LATER));
            let answer = answer(&waiter.key, waiter.min_ttl).or_else(overdue);
            let waits = answer.is_none();
            answers.extend(answer.map(|answer| (waiter.caller, answer)));
            waits
        });
        answers
    }

    pub(super) fn take_savers(&mut self) -> Vec<CallerId> {
        std::mem::take(&mut self.savers)
    }

    pub(super) fn gone(&mut self, caller: CallerId) {
        self.tokens.retain(|waiter| waiter.caller != caller);
        self.savers.retain(|saver| *saver != caller);
    }

    pub(super) fn wake(&self) -> Option<Boot> {
        self.tokens.iter().map(|waiter| waiter.until).min()
    }
}

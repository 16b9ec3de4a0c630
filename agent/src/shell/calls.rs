//! The door through which sockets reach the driver.

use crate::ports::{Answer, Call};
use tokio::sync::{mpsc, oneshot};

/// How many calls wait for the driver at most; whoever comes then is told to come later.
const MAX_WAITING: usize = 256;

/// Asks the driver. Cheap to clone: one for each connection.
#[derive(Clone, Debug)]
pub struct Calls(mpsc::Sender<Asked>);

/// A call and where its answer goes.
#[derive(Debug)]
pub struct Asked {
    /// What is wanted.
    pub call: Call,
    /// Closed when the caller has gone.
    pub answer: oneshot::Sender<Answer>,
}

/// The agent is stopping, or too many are waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl Calls {
    /// The door and its inner side.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Asked>) {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        (Self(sender), receiver)
    }

    /// Waits for the driver's answer. Dropping the future withdraws the call.
    ///
    /// # Errors
    /// [`Busy`]: the queue of calls is full, or the agent is stopping.
    pub async fn ask(&self, call: Call) -> Result<Answer, Busy> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Asked { call, answer }).map_err(|_| Busy)?;
        answered.await.map_err(|_| Busy)
    }

    /// Waits until the driver takes no more calls: the agent is stopping.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

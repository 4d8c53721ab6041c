//! Asking a running node.
//!
//! What a node's reader can answer is answered on the caller's own thread, from the newest view, beside the writer.
//! All else goes to the writer and the caller waits for the reply.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Instant,
};

use stormproof_contract::{Node, OpId, Query, Reader, Reads, RequestId, Want};

use super::host::{Mail, Note, Observer, Stop};

/// Asks one node. Cheap to clone, and shared by any number of threads.
pub struct Client<N: Node> {
    pub(super) mail: SyncSender<Mail<N>>,
    pub(super) reader: Option<Arc<dyn Reader<N::Op, N::Reply>>>,
    pub(super) stopped: Arc<OnceLock<Stop>>,
    /// The next operation's id. It starts at a random number, so that a node which remembers operations over restarts
    /// does not take a new one for an old.
    pub(super) next_op: Arc<AtomicU64>,
    /// Hears how long calls took.
    pub(super) observer: Option<Observer>,
}

/// Why a call has no reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CallError {
    /// The node took the request and was gone before it replied: it may have taken effect, or may yet be found to
    /// have when the node is booted anew.
    #[error("the node stopped before it replied: the operation may have taken effect or not")]
    Unknown,
    /// The node was gone before it could take the request: it had no effect.
    #[error("the node has stopped: the operation had no effect")]
    Closed,
}

impl<N: Node> Client<N> {
    /// Does an operation of its own, and waits for its reply.
    pub fn call(&self, op: N::Op) -> Result<N::Reply, CallError> {
        self.attempt(RequestId { op: self.new_op(), attempt: 0 }, op)
    }

    /// Makes one attempt at an operation; a retry has the same `id.op` and the next `attempt`. If two calls use one
    /// `id` at the same time, the later one gets the reply and the earlier one [`CallError::Unknown`].
    pub fn attempt(&self, id: RequestId, op: N::Op) -> Result<N::Reply, CallError> {
        let Some(observer) = &self.observer else { return self.ask(id, op) };
        let (kind, began) = (N::kind(&op), Instant::now());
        #[cfg(feature = "telemetry")]
        let _span = tracing::debug_span!("request", request = id.op.0, attempt = id.attempt, kind).entered();
        let reply = self.ask(id, op);
        observer(&Note::Answered { id, kind, took: began.elapsed(), known: !matches!(reply, Err(CallError::Unknown)) });
        reply
    }

    fn ask(&self, id: RequestId, op: N::Op) -> Result<N::Reply, CallError> {
        if let Some(query) = self.reader.as_ref().and_then(|reader| reader.start(&op)) {
            return self.query(query);
        }
        self.submit(id, op)?.recv().map_err(|_| CallError::Unknown)
    }

    /// An id for an operation that is to be attempted more than once.
    pub fn new_op(&self) -> OpId {
        OpId(self.next_op.fetch_add(1, Ordering::Relaxed))
    }

    /// Asks about the node's state in memory, between two batches.
    pub fn inspect(&self, ask: N::Ask) -> Result<Option<N::Facts>, CallError>
    where
        N::Ask: Send + 'static,
        N::Facts: Send + 'static,
    {
        let (answer, answered) = sync_channel(1);
        let look = Box::new(move |node: &N| {
            // Whoever asked waits below, so there is room and somebody to hear it.
            let _ = answer.send(node.inspect(&ask));
        });
        self.mail.send(Mail::Look(look)).map_err(|_| CallError::Closed)?;
        // A look changes nothing, so a node that is gone is all there is to say.
        answered.recv().map_err(|_| CallError::Closed)
    }

    /// How the node stopped, if it has.
    pub fn stopped(&self) -> Option<&Stop> {
        self.stopped.get()
    }

    /// Hands a request to the writer. The reply comes by the receiver, which hears nothing if the writer ends.
    pub(super) fn submit(&self, id: RequestId, op: N::Op) -> Result<Receiver<N::Reply>, CallError> {
        let (answer, answered) = sync_channel(1);
        self.mail.send(Mail::Request { id, op, answer }).map_err(|_| CallError::Closed)?;
        Ok(answered)
    }

    /// Serves a query to its end. The reads of a step are done together, here and now.
    pub(super) fn query(&self, mut query: Box<dyn Query<N::Reply>>) -> Result<N::Reply, CallError> {
        let mut reads = Reads::default();
        loop {
            // A view of a node that stopped may lie behind what its successor, in another process, has accepted.
            if self.stopped().is_some() {
                return Err(CallError::Closed);
            }
            if let Some(reply) = query.step(&mut reads) {
                return Ok(reply);
            }
            let got = reads.wanted().iter().map(Want::read).collect();
            reads.give(got);
        }
    }
}

impl<N: Node> Clone for Client<N> {
    fn clone(&self) -> Self {
        Client {
            mail: self.mail.clone(),
            reader: self.reader.clone(),
            stopped: Arc::clone(&self.stopped),
            next_op: Arc::clone(&self.next_op),
            observer: self.observer.clone(),
        }
    }
}

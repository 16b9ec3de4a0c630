//! Servers that do as they are told, once for each connection.

use std::{future::Future, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};

/// A server on a loopback port; it ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// What it was sent, one for each request.
    heard: mpsc::UnboundedReceiver<Vec<u8>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Does `serve` with every connection.
    pub(crate) async fn doing<F>(
        serve: impl Fn(TcpStream, mpsc::UnboundedSender<Vec<u8>>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, heard) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, sender.clone()));
            }
        });
        Self { address, heard, task }
    }

    /// Answers the first request of each connection with `bytes`, and closes it.
    pub(crate) async fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Arc<[u8]> = bytes.into().into();
        Self::doing(move |mut stream, heard| {
            let bytes = Arc::clone(&bytes);
            async move {
                let _ = heard.send(read_request(&mut stream).await);
                let _ = stream.write_all(&bytes).await;
            }
        })
        .await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/token?state=s-secret", self.address)
    }

    /// The next request, head and body.
    pub(crate) async fn heard(&mut self) -> Vec<u8> {
        self.heard.recv().await.unwrap()
    }

    /// Whether nobody has said anything so far.
    pub(crate) fn is_untouched(&mut self) -> bool {
        self.heard.try_recv().is_err()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads one request to its end, by its `content-length`.
pub(crate) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut request = Vec::new();
    loop {
        let head = request.windows(4).position(|end| end == b"\r\n\r\n");
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if request.len() >= head + 4 + length {
                return request;
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return request,
            Ok(count) => request.extend(&piece[..count]),
        }
    }
}

/// Answers one request over any stream with a short page.
pub(crate) async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    read_request(stream).await;
    let _ = stream.write_all(OK).await;
    let _ = stream.shutdown().await;
}

/// A whole short answer.
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

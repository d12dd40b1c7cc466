//! The entry point of requests: connects [`api::answer`] to the runtime.

use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use web_sys::{Request, Response};
use worker::{Context, Env, Result};

use super::{
    body::RequestBody,
    isolate,
    ports::{self, RequestPorts},
    response, telemetry,
};
use crate::{
    api::{
        self,
        head::{HttpHead, HttpRequest},
        ports::Runtime,
        settings::Settings,
    },
    launch::ports::Clock,
    problem::Cause,
    telemetry::DataPoint,
};

/// Answers one request.
pub async fn handle(request: Request, env: Env, context: Context) -> Result<Response> {
    let (method, url, headers) = (request.method(), request.url(), request.headers());
    let header = |name: &str| headers.get(name).ok().flatten();
    let head = HttpRequest { method: &method, url: &url, header: &header };
    let mut body = RequestBody::new(&request, head.header);
    let reply = api::answer(&RequestRuntime { env: &env, context: &context }, head, &mut body).await;
    response::from_reply(reply)
}

/// The runtime around one request.
struct RequestRuntime<'a> {
    env: &'a Env,
    context: &'a Context,
}

impl Clock for RequestRuntime<'_> {
    fn now(&self) -> u64 {
        ports::now()
    }

    async fn sleep(&self, milliseconds: u64) {
        ports::sleep(milliseconds).await;
    }
}

impl Runtime for RequestRuntime<'_> {
    type Ports = RequestPorts;

    fn settings(&self) -> std::result::Result<Settings, Cause> {
        isolate::isolate(self.env).map(|isolate| isolate.settings.clone()).map_err(Cause::new)
    }

    fn ports(&self, head: &HttpHead<'_>) -> std::result::Result<Rc<RequestPorts>, Cause> {
        let isolate = isolate::isolate(self.env).map_err(Cause::new)?;
        RequestPorts::new(self.env, isolate, head).map(Rc::new).map_err(Cause::new)
    }

    fn random(&self, bytes: &mut [u8]) {
        ports::random(bytes);
    }

    fn after_reply(&self, work: LocalBoxFuture<'static, ()>) {
        self.context.wait_until(work);
    }

    fn log(&self, line: &str) {
        telemetry::log(line);
    }

    fn measure(&self, request_id: &str, point: &DataPoint) {
        telemetry::measure(self.env, Some(request_id), point);
    }

    fn linear_memory(&self) -> u64 {
        const PAGE: u64 = 64 * 1024;
        core::arch::wasm32::memory_size::<0>() as u64 * PAGE
    }
}

//! A Worker and an object that panic on request, before or after their first await.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use worker::{Context, Delay, DurableObject, Env, Request, Response, Result, State, durable_object, event};

/// Requests to `/hold` that this wasm instance has received; a new instance starts at 0.
static SEEN: AtomicU32 = AtomicU32::new(0);

#[event(fetch)]
async fn fetch(mut request: Request, env: Env, _context: Context) -> Result<Response> {
    match request.path().as_str() {
        "/seen" => Response::ok(SEEN.load(Ordering::Relaxed).to_string()),
        "/hold" => {
            SEEN.fetch_add(1, Ordering::Relaxed);
            Response::ok(request.bytes().await?.len().to_string())
        }
        path if path.starts_with("/object") => {
            let url = format!("https://object{}", path.trim_start_matches("/object"));
            env.durable_object("PANICS")?.get_by_name("one")?.fetch_with_str(&url).await
        }
        path => work(path).await,
    }
}

async fn work(path: &str) -> Result<Response> {
    match path {
        "/panic" => panic!("on request"),
        "/panic-later" => {
            Delay::from(Duration::from_millis(1)).await;
            panic!("on request, after an await")
        }
        _ => Response::ok("well"),
    }
}

#[durable_object(fetch)]
pub struct Panics;

impl DurableObject for Panics {
    fn new(_state: State, _env: Env) -> Self {
        Self
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        work(&request.path()).await
    }
}

//! The Durable Object of one database. It moves bytes between the runtime and [`DatabaseObject`], which
//! decides.

use worker::{DurableObject, Env, Request, Response, State, durable_object};

use super::{
    isolate,
    object::{ObjectSql, set_alarm},
    ports::now,
    telemetry,
};
use crate::{
    problem::Cause,
    profiles::live::{
        message::LENGTH_HEADER,
        object::{DatabaseHost, DatabaseObject},
    },
};

#[durable_object(alarm)]
pub struct ProfilesObject {
    object: DatabaseObject<ObjectSql, ProfilesHost>,
}

impl DurableObject for ProfilesObject {
    fn new(state: State, env: Env) -> Self {
        let budget = isolate::object_settings(&env).map(|settings| settings.budget);
        let sql = ObjectSql::new(&state);
        Self { object: DatabaseObject::new(sql, ProfilesHost { state }, budget) }
    }

    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        let length = request.headers().get(LENGTH_HEADER)?;
        let body = async { request.bytes().await.map_err(Cause::new) };
        let response = self.object.fetch(length.as_deref(), body).await;
        let builder = Response::builder().with_status(response.status);
        Ok(builder.with_header(LENGTH_HEADER, &response.body.len().to_string())?.fixed(response.body))
    }

    async fn alarm(&self) -> worker::Result<Response> {
        self.object.alarm().await.map_err(|cause| worker::Error::RustError(cause.0))?;
        Response::empty()
    }
}

/// The runtime of one object.
struct ProfilesHost {
    state: State,
}

impl DatabaseHost for ProfilesHost {
    fn now(&self) -> u64 {
        now()
    }

    async fn set_alarm(&self, at: u64) -> Result<(), Cause> {
        set_alarm(&self.state, Some(at)).await
    }

    fn report(&self, failure: &str, cause: &Cause) {
        telemetry::failure(None, failure, cause);
    }
}

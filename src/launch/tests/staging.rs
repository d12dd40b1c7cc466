use super::world::{Call, Place, World};

#[test]
fn smoke() {
    let world = World::new();
    let place = Place::new(&world);
    let body = r#"{"trigger_id":85,"matching":"email","attach":[{"name":"a.txt","data":"aGVsbG8="}],"data":[{"email":"a@example.com"}]}"#;
    let settled = place.send_and_complete(Call::new(body));
    let launched = settled.result.unwrap();
    assert_eq!(world.bucket.get(&format!("{}/0", launched.launch_id.unwrap())).unwrap(), b"hello");
    assert_eq!(world.budget.held(), 0);
}

"""The platform in memory stands."""

from tests.house import House


def test_the_house_answers(house: House) -> None:
    assert house.client.get("/healthz").json == {"status": "ok"}
    assert house.client.get("/readyz").status_code in (200, 503)


def test_somebody_signs_up_and_is_known(house: House) -> None:
    headers = house.sign_up("alice")

    assert house.actor(headers).user_id == house.user_id(house.sign_in("alice"))

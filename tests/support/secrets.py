"""A token that looks like a real one but is not."""

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSIsImp0aSI6IjQ3MTEifQ.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"

-- $1 username, $2 email, $3 username_key, $4 email_key, $5 created_at
insert into users (username, email, username_key, email_key, created_at)
values ($1, $2, $3, $4, $5)
returning id

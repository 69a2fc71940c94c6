-- $1 id, $2 email, $3 email_key; a twin that keeps its address stays a twin
update users
set email = $2,
  email_twin = case when email_key = $3 then email_twin else 0 end,
  email_key = $3
where id = $1

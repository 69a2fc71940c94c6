-- $1 id, $2 target, $3 title, $4 is_active, $5 status, $6 expires_at, $7 updated_at
update links
set target = $2, title = $3, is_active = $4, status = $5, expires_at = $6, updated_at = $7, version = version + 1
where id = $1

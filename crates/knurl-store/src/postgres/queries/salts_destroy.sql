-- $1 first day that keeps its salt; a node whose clock is ahead destroys none that the server's day still needs
delete from visitor_salts
where day < least($1, floor(extract(epoch from clock_timestamp()) / 86400)::bigint - 1)

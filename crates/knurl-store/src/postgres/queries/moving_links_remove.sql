-- Arrays: $1 id
delete from links as was
using unnest($1::bigint[]) as gone (id)
where was.id = gone.id

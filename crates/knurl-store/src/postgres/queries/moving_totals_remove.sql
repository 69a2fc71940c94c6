-- Arrays: $1 link_id
delete from link_totals as was
using unnest($1::bigint[]) as gone (link_id)
where was.link_id = gone.link_id

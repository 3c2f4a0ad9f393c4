-- The import of a queue is complete: jobs that wait for jobs which have not come with it are notified, as if these had not
-- completed.
--
-- KEYS  1 prefix
-- Returns  how many such parents are left for the next call

for _, id in ipairs(redis.call('SRANDMEMBER', P .. KEY.awaited, 100)) do
  link_awaiting(id, id, redis.call('HGET', P .. KEY.job .. id, 'state'))
end
return redis.call('SCARD', P .. KEY.awaited)

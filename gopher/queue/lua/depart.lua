-- Take a waiting job out of its queue, to be stored in another one. Until it is stored there, it is in the outbox, so that it is
-- neither lost nor stored twice whenever a process dies.
--
-- pending, scheduled, retrying -> -
--
-- KEYS  1 prefix
-- ARGV  1 id  2 name of the other queue, '' to change nothing and only tell what would prevent it  3 id of the move
--       4 priority in the other queue, '' for that of the job
-- Returns  {OK, the entry in the outbox}; or one of: STARTING when a worker has just been handed the job, PARENTS or CHILDREN
--       when it depends on others of its queue or they on it, MISSING, or the state of a job that does not wait

local id, to, priority = ARGV[1], ARGV[2], ARGV[4]
local record = P .. KEY.job .. id
local job, answer = waiting_job(id)
if not job then
  return { answer }
end
local extras = redis.call('HMGET', record, 'parents', 'children', 'unique', 'owner', 'tells')
if job.waiting_for or extras[1] then
  return { 'PARENTS' }
elseif extras[2] or redis.call('EXISTS', P .. KEY.children .. id) == 1 then
  return { 'CHILDREN' }
elseif to == '' then
  return { 'OK' }
end
allow_when_full()
local due = IS_TIMED[job.state] and redis.call('ZSCORE', P .. job.state, id) or ''
if not leave_place(id, job) then
  return { 'STARTING' }
end

-- The outbox holds texts only: values with other bytes are written in hexadecimal digits.
local function as_text(value)
  if string.find(value, '[\128-\255]') then
    return { (string.gsub(value, '.', function(byte) return string.format('%02x', string.byte(byte)) end)) }
  end
  return value
end

if priority ~= '' then
  redis.call('HSET', record, 'priority', priority)
end
post_step(id, extras[5] or '', to)
local fields = redis.call('HGETALL', record)
if extras[3] and redis.call('GET', P .. KEY.unique .. extras[3]) == id then
  fields[#fields + 1], fields[#fields + 2] = 'unique_left', redis.call('PTTL', P .. KEY.unique .. extras[3])
end
for i = 2, #fields, 2 do
  fields[i] = as_text(tostring(fields[i]))
end
free_unique_key(id, extras[3])
redis.call('DEL', record)
-- Who asked this queue to tell how the job ends is passed on (see follow.lua).
redis.call('SET', P .. KEY.moved .. id, to, 'PX', 600000)
count_owner(extras[4], -1)
redis.call('HINCRBY', P .. KEY.totals, COUNTER.moved, 1)
post(to, 'move', ARGV[3], id, job.state, 0, now, due, fields)
ensure_next()
return { 'OK', redis.call('LINDEX', P .. KEY.outbox .. to, -1) }

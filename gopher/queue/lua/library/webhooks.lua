-- Webhooks: which ends of jobs are told, to the callback of a job and to what is subscribed (see subscribe.lua).

local TO_WEBHOOKS = '@webhooks' -- no queue is called that: the relay knows which one delivers them
local ENVELOPE_TOLD = 4096 -- bytes of an envelope that are told with an end; of a longer one the record is read

local states_told = {} -- job type -> the states that are subscribed to, of those that were looked up

-- Return whether something is subscribed to such an end of a job of this type. Deliveries are never told themselves.
local function is_subscribed(job_type, state)
  local states = states_told[job_type]
  if not states then
    local found = redis.call('HMGET', P .. KEY.subscribed, ' *', ' ' .. job_type)
    states = job_type ~= 'gopher.webhook' and (found[1] or '') .. (found[2] or '') or ''
    states_told[job_type] = states
  end
  return string.find(states, ',' .. state .. ',', 1, true) ~= nil
end

-- Plain jobs are completed without looking whether that is told: a job whose completion is told is not plain any more.
local function note_told_completion(record, job_type)
  if is_subscribed(job_type, STATE.completed) then
    redis.call('HDEL', record, 'plain')
  end
end

local BATCH = '@batch' -- in the place of a job's type; no type is called that

-- Return whether a callback, a line of its events, URL and parts, is told of a state.
local function is_told(callback, state)
  return string.find(',' .. string.match(callback, '^%S*') .. ',', ',' .. state .. ',', 1, true) ~= nil
end

-- Post what the end of a batch tells its callback, as that of a job: in place of the error whose it is, and its tags, in two
-- lines; of the envelope what it is called; of the result how many of its jobs are in which state, `<state> <jobs>` each.
local function note_end_of_batch(id, state)
  local record = P .. KEY.batch .. id
  local fields = redis.call('HMGET', record, 'callback', 'owner', 'tags', 'name')
  if not fields[1] or not is_told(fields[1], state) then
    return
  end
  local in_states = {}
  for _, field in ipairs(redis.call('HKEYS', record)) do
    local counted = string.match(field, '^n:(.+)$')
    if counted and counted ~= UNSTORED then
      in_states[#in_states + 1] = counted .. ' ' .. redis.call('HGET', record, field)
    end
  end
  post(TO_WEBHOOKS, 'webhook', fields[1], id, state, 0, now, 0, BATCH, 0, (fields[2] or '') .. '\n' .. (fields[3] or ''),
    fields[4] or '', table.concat(in_states, ','))
end

-- Post what the end of a job tells webhooks, before its record changes further. `result` is only needed of a record that is
-- not kept. An entry is {webhook, callback or '', id, state, 0, ms since 1970, 1 if something is subscribed, type,
-- attempts, error or '', envelope or '', result or '', tenant or ''}.
local function note_end(id, state, result)
  local job = read_record(id, 'callback', 'type', 'attempts', 'tenant')
  local callback, job_type = job[1] or '', job[2]
  if not is_told(callback, state) then
    callback = ''
  end
  local subscribed = job_type and is_subscribed(job_type, state)
  if callback == '' and not subscribed then
    return
  end
  local record = P .. KEY.job .. id
  local is_short = redis.call('HSTRLEN', record, 'envelope') <= ENVELOPE_TOLD or result ~= nil
  post(TO_WEBHOOKS, 'webhook', callback, id, state, 0, now, subscribed and 1 or 0, job_type or '', tonumber(job[3]) or 0,
    DEAD[state] and redis.call('HGET', record, 'error') or '', is_short and redis.call('HGET', record, 'envelope') or '',
    result or '', job[4] or '')
end

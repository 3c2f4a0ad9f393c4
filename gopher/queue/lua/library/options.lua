-- The options of a job that is stored, a line each; what follows the last one says how it treats another job with its unique key.

local OPTIONS = '^' .. string.rep('([^\n]*)\n', 11) .. '([^\n]*)\n?(.*)$'

local function instant(text)
  if string.sub(text, 1, 1) == '+' then
    return now + tonumber(text)
  end
  return tonumber(text) or 0
end

local function parse_options(text, tenant)
  local due, expires, give_up, retention, unique, unique_for, limit_key, parents, on_failure, tells, named, callback, mode =
    string.match(text, OPTIONS)
  local job = {
    due = instant(due), expires = expires ~= '' and instant(expires) or nil,
    give_up = give_up ~= '' and instant(give_up) or nil, retention = retention, unique = unique,
    unique_for = unique_for, limit_key = limit_key, parents = parents, on_parent_failure = on_failure, tells = tells,
    named = named, callback = callback, tenant = tenant ~= '' and tenant or nil,
  }
  if mode ~= '' then
    job.unique_mode, job.max_wait, job.folder = string.match(mode, '^([^\n]*)\n([^\n]*)\n([^\n]*)$')
  end
  return job
end

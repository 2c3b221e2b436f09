"""What is said of accounts, sessions and keys."""

from collections.abc import Mapping

IDENTITY: Mapping[str, str] = {
    "sign in first: the request carries no credential": "请先登录：请求未携带凭证",
    "the credential must be written as: Bearer <token>": "凭证格式应为：Bearer <token>",
    "sign in within {seconds} seconds": "请在 {seconds} 秒内完成登录",
    'the first message must be {{"type": "auth", "token": "Bearer …"}}': '第一条消息必须是 {{"type": "auth", "token": "Bearer …"}}',
    "the token has expired; refresh it or sign in again": "令牌已过期，请刷新令牌或重新登录",
    "the token is missing, malformed or no longer good; sign in again": "令牌缺失、格式错误或已失效，请重新登录",
    "the API key is unknown, revoked or expired": "API 密钥不存在、已吊销或已过期",
    "this API key lacks the permission {permission}": "该 API 密钥缺少权限 {permission}",
    "an API key cannot touch the account; sign in instead": "API 密钥不能操作账户，请改用登录令牌",
    "e-mail or password is wrong": "邮箱或密码错误",
    "this refresh token was used before: its whole session is signed out": "该刷新令牌已被使用过，整个会话已退出登录",
    "an account with this e-mail exists": "该邮箱已注册",
    "this user name is taken": "该用户名已被使用",
    "registration is closed here; ask the operator for an account": "此平台未开放注册，请联系管理员开通账户",
    "the old password is wrong": "原密码错误",
    "a password has 8 to 128 characters": "密码长度须为 8 至 128 个字符",
    "a user name has 3 to 64 letters, digits, '_', '-' or '.'": "用户名须为 3 至 64 个字母、数字、“_”、“-”或“.”",
    "this is not an e-mail address": "邮箱格式不正确",
    "this link was used already or is too old; ask for a new one": "该链接已使用或已过期，请重新获取",
    "there is no permission {name}": "不存在权限 {name}",
    "the permissions are not right": "权限设置不正确",
    "the key would have expired already": "密钥的过期时间已过",
}

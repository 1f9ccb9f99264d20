using Forgetting.Testing;
using PuppeteerSharp;
using Xunit;

namespace Forgetting.Server.Tests;

/// <summary>A test that needs Chromium.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class BrowserFactAttribute : FactAttribute
{
    private static readonly string? s_path =
        new[] { "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome" }.FirstOrDefault(File.Exists);

    /// <param name="needsData">Whether the test needs <see cref="SharedData"/> too.</param>
    public BrowserFactAttribute(bool needsData = false) => Skip = s_path is null ? "no Chromium is here"
        : needsData && SharedData.Folder is null ? "../shared/data is not beside the repository"
        : Skip;

    /// <summary>Starts it.</summary>
    public static Task<IBrowser> Launch() => Puppeteer.LaunchAsync(
        new LaunchOptions { ExecutablePath = s_path, Args = ["--no-sandbox", "--disable-gpu"] });
}
